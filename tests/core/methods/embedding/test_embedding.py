"""Embeddings in factors: the arithmetic of trains, what is chosen, and models whose embedding and head are made so."""

import itertools
import math

import pytest
import torch
from torch import nn

from core.amount import Amount
from core.base.errors import UserError
from core.evaluation.footprint import MAC_TOKENS, footprint
from core.evaluation.perplexity import window_losses
from core.evaluation.scorer import dtype_of, wide_head
from core.evaluation.states import head_parts
from core.methods.embedding import tensor_train
from core.methods.embedding.lowrank import EmbeddingLowRank
from core.methods.embedding.tensor_train import (
    TensorTrain,
    candidates,
    highest_cap,
    numbers,
    parse_shape,
    ranks,
    train_cores,
)
from core.models.modeling_slimscope import FactoredHead, TensorTrainEmbedding
from core.models.parts.blocks import find_blocks
from core.request.stages import build_stage
from core.training.examples import Example, collate
from core.training.losses import next_token, states, targets, through_head
from tests.core.engine.applied import check_reloads, compress
from tests.core.methods.linear import drawn
from tests.core.tiny import layout_of, tiny, windows

FULL = 10**9  # a cap that cuts nothing
SCALED = ["opt-projected", "gemma2"]  # whose embedding is projected, or has a factor
PLAIN = ["llama-gqa", "opt", "gpt2", "qwen3", "cohere", "opt-projected", "gemma2", "gemma3"]


def silent(done, total):
    pass


def embedding(rows, shape, cap):
    """Return the trains of rows as an embedding."""
    own = ranks(shape, cap)
    found = TensorTrainEmbedding(*rows.shape, shape, own).requires_grad_(False)
    found.cores.data = train_cores(rows, shape, own)
    return found


def applied(model, name, factor="2x", **settings):
    compress(model, build_stage(name, Amount.from_columns(None, factor), settings=settings), None)
    return model


def tied(name="tensor-train", **settings):
    return applied(tiny(tie_word_embeddings=True), name, **settings)


def trains(rows, factor=2, **settings):
    """Return the trains that the method makes of rows, and its note."""
    return TensorTrain(TensorTrain.parse_parameters(settings)).factored(rows, factor, silent)


@pytest.mark.parametrize(
    ("shape", "cap", "expected"),
    [
        *zip([(8, 8, 9)] * 6, [1, 2, 4, 5, 8, FULL], [25, 66, 196, 285, 648, 721], strict=True),
        ((4, 4, 4, 9), 4, 180),
        *zip([(2,) * 10] * 7, [1, 2, 3, 4, 5, 6, 8], [20, 72, 140, 232, 320, 424, 680], strict=True),
    ],
)
def test_a_tensor_train_has_the_expected_size(shape, cap, expected):
    """Of rows of 576; of the 2^10 that the paper fills rows of 768 up to, 768 over them is 38.40, 10.67 ... 1.13."""
    assert numbers(shape, cap) == expected
    width = min(576, math.prod(shape))
    found = embedding(drawn(3, width), shape, cap)
    assert found.cores.shape == (3, expected) and found.stored == 3 * expected


@pytest.mark.parametrize("shape", [(8, 8, 9), (4, 4, 4, 9), (24, 24), (9, 8, 8), (36, 4, 4), (2,) * 10])
def test_full_ranks_restore_the_rows(shape):
    rows = drawn(5, 576)
    assert torch.allclose(embedding(rows, shape, FULL).rows(slice(None)), rows, atol=1e-5)


def test_an_entry_is_the_product_of_its_core_slices():
    shape, own = (2, 3, 4), (1, 2, 3, 1)
    found = TensorTrainEmbedding(2, 24, shape, own)
    found.cores.data = drawn(2, found.cores.shape[1])
    parts = found.cores.data.split(found.sizes, 1)
    cores = [
        part.view(2, after, size, before) for part, size, before, after in zip(parts, shape, own, own[1:], strict=False)
    ]
    for token, places in itertools.product(range(2), itertools.product(*map(range, shape))):
        slices = [core[token, :, place].T for core, place in zip(cores, places, strict=True)]  # (r_(k-1), r_k)
        entry = places[0] + 2 * places[1] + 6 * places[2]
        torch.testing.assert_close(found.rows(slice(None))[token, entry], torch.linalg.multi_dot(slices)[0, 0])


@pytest.mark.parametrize(("left", "right"), [(12, 18), (18, 12)])
def test_a_train_of_two_cores_is_the_best_low_rank_matrix(left, right):
    rows = drawn(4, left * right)
    u, s, v = torch.linalg.svd(rows.view(4, right, left), full_matrices=False)
    closest = (u[..., :5] * s[:, None, :5]) @ v[:, :5]
    assert torch.allclose(embedding(rows, (left, right), 5).rows(slice(None)), closest.reshape(4, -1), atol=1e-4)


def test_chunks_and_order_change_nothing(monkeypatch):
    table = drawn(97, 36)
    whole, _ = trains(table)
    monkeypatch.setattr(tensor_train, "CHUNK", 7)
    monkeypatch.setattr("core.models.modeling_slimscope.ROWS", 5)
    heard = []
    parts, _ = TensorTrain().factored(table, 2, lambda *update: heard.append(update))
    assert whole.settings == parts.settings
    assert torch.allclose(whole.rows(slice(None)), parts.rows(slice(None)), atol=1e-5)
    assert heard[0] == (0, 97) and heard[-1] == (97, 97) and len(heard) == 15
    hidden = drawn(2, 3, 36)
    assert torch.allclose(parts.logits(hidden), hidden @ parts.rows(slice(None)).T, atol=1e-4)
    assert torch.equal(parts(torch.tensor([[5, 90], [5, 0]])), parts.rows(slice(None))[[5, 90, 5, 0]].view(2, 2, 36))


def test_shape_with_the_smallest_sample_error_is_chosen():
    planted = TensorTrainEmbedding(64, 36, (2, 3, 6), (1, 2, 2, 1))
    planted.cores.data = drawn(64, planted.cores.shape[1])
    rows = planted.rows(slice(None)).detach()
    found, note = trains(rows, 1.2)
    assert f"{found.cores.shape[1]} numbers a token" in note
    assert torch.allclose(found.rows(slice(None)), rows, atol=1e-3)
    missed = {
        shape: (embedding(rows, shape, cap).rows(slice(None)) - rows).norm()
        for shape in candidates(36)
        if (cap := highest_cap(shape, 36 / 1.2))
    }
    assert len(missed) > 5 and missed[found.shape] == min(missed.values())


def test_shapes_include_factorisations_of_padded_widths():
    assert set(candidates(12)) == {(2, 6), (3, 4), (2, 2, 3), (2, 8), (4, 4), (2, 2, 4), (2, 2, 2, 2)}
    assert {(16, 29), (8, 64)} <= set(candidates(461)) and (461,) not in candidates(461)  # a prime
    assert parse_shape("8x8x9") == (8, 8, 9)


@pytest.mark.parametrize("text", ["576", "8x0", "1x8", "8 x 9", "8x", "wide", ""])
def test_an_invalid_shape_is_rejected_before_loading(text):
    with pytest.raises(UserError, match="does not fit: give at least two sizes above 1, such as 8x8x9"):
        build_stage("tensor-train", Amount.parse("2x"), settings={"shape": text})


@pytest.mark.parametrize(
    ("settings", "factor", "message"),
    [
        ({"shape": "8x8x9", "rank": 8}, 2, "the factor allows 288 numbers per token, but at least 648 are needed."),
        ({"rank": 600}, 2, "Choose a smaller factor or remove shape and rank."),
        ({}, 100, "but at least 18 are needed. Choose a smaller factor."),
        ({"shape": "8x8x8"}, 2, "the shape 8x8x8 has 512 entries, fewer than the 576 numbers of a row"),
    ],
)
def test_errors_name_the_values_and_the_fix(settings, factor, message):
    with pytest.raises(UserError) as error:
        trains(drawn(4, 576), factor, **settings)
    assert message in str(error.value)


def test_requested_shape_and_rank_are_used():
    found, note = trains(drawn(4, 576), shape="8x8x9")
    assert (found.shape, found.ranks, note) == ((8, 8, 9), (1, 5, 5, 1), "8x8x9 of ranks 5, 5, 285 numbers a token")
    found, _ = trains(drawn(4, 576), shape="8x8x9", rank="4")
    assert found.cores.shape[1] == 196


def test_a_low_rank_embedding_is_optimal_at_the_requested_size():
    table = drawn(300, 40)
    found, note = EmbeddingLowRank().factored(table, 3, silent)
    u, s, v = torch.linalg.svd(table, full_matrices=False)
    rank = len(found.right)
    assert found.stored <= table.numel() / 3 < found.stored + 340 and f"rank {rank}" in note
    assert torch.allclose(found.rows(slice(None)), (u[:, :rank] * s[:rank]) @ v[:rank], atol=1e-4)
    hidden = drawn(5, 40, seed=1)
    assert torch.allclose(found.logits(hidden), hidden @ found.rows(slice(None)).T, atol=1e-4)
    with pytest.raises(UserError, match=r"leaves no rank"):
        EmbeddingLowRank().factored(table, 50, silent)


def written_out(model, name, tied, made, rebuilt):
    """Return the same model with plain matrices: the embedding `made`, and the head as requested."""
    plain = tiny(name, tie_word_embeddings=tied)
    head = plain.get_output_embeddings()
    head.weight = nn.Parameter((made if tied and rebuilt else head.weight).clone())
    plain.get_input_embeddings().weight = nn.Parameter(made.clone())
    return plain


@pytest.mark.matrix(name=lambda name: name if name in SCALED else layout_of(name), method=str, tied=bool, head=str)
@pytest.mark.parametrize("head", ["rebuilt", "explicit"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("method", ["tensor-train", "embedding-lowrank"])
@pytest.mark.parametrize("name", PLAIN)
@torch.no_grad()
def test_a_factored_model_equals_its_dense_form_and_reloads(name, method, tied, head, tmp_path):
    model = applied(tiny(name, tie_word_embeddings=tied), method, head=head)
    plain = written_out(model, name, tied, model.get_input_embeddings().rows(slice(None)), head == "rebuilt")
    assert isinstance(model.get_output_embeddings(), FactoredHead) is (tied and head == "rebuilt")
    ours, theirs = model(windows()).logits, plain(windows()).logits
    assert torch.allclose(ours, theirs, atol=1e-4 * theirs.abs().max())
    assert window_losses(model, windows()) == pytest.approx(window_losses(plain, windows()), rel=1e-4)
    check_reloads(model, tmp_path)


def test_removed_share_is_counted_for_embedding_and_model():
    dense = tiny(tie_word_embeddings=True)
    total, tokens, width = sum(p.numel() for p in dense.parameters()), 97, 32
    blocks = sum(linear.weight.numel() for linear in find_blocks(dense).all_linears())
    before = footprint(dense, total, blocks)
    assert before.embedding_removed is None
    assert "embedding_weights" not in before.model_dump()

    rebuilt = footprint(tied(), total, blocks)
    kept = rebuilt.embedding_weights
    assert kept == tokens * 12 and rebuilt.embedding_removed == 1 - 12 / width  # 4 x 8 of rank 1
    assert rebuilt.model_parameters == total - tokens * width + kept
    assert rebuilt.packed_bytes == before.packed_bytes - 2 * (tokens * width - kept)
    row = 4 + 8 * 4
    assert rebuilt.macs == before.macs + MAC_TOKENS * row + tokens * row

    explicit = footprint(tied(head="explicit"), total, blocks)
    assert explicit.embedding_removed == rebuilt.embedding_removed
    assert explicit.model_parameters == total + kept > explicit.dense_parameters
    lowrank = footprint(tied("embedding-lowrank"), total, blocks)
    rank = tokens * width // (2 * (tokens + width))
    assert lowrank.embedding_weights == rank * (tokens + width)
    assert lowrank.macs == before.macs + MAC_TOKENS * rank * (width + tokens + width) - MAC_TOKENS * tokens * width


@torch.no_grad()
def test_tasks_are_scored_with_a_rebuilt_fp32_head():
    model = tied().bfloat16()
    own, wide = model.get_output_embeddings(), wide_head(model)
    assert [dtype_of(own), dtype_of(wide), own.table.cores.dtype] == [torch.bfloat16, torch.float32, torch.bfloat16]
    hidden = drawn(3, 32)
    assert torch.equal(wide(hidden), hidden @ own.table.float().rows(slice(None)).T)
    weights = torch.cat([weight for weight, _ in head_parts(tied())])
    assert weights.shape == (97, 32)


def test_later_training_has_gradients_through_the_rebuilt_head():
    model = tied().requires_grad_(False)
    learning = find_blocks(model).linears(0)[0].module.weight.requires_grad_()
    batch = collate([Example(row, 0) for row in windows()])
    through_head(model, states(model, batch), next_token(targets(batch))).backward()
    ours, learning.grad = learning.grad, None
    logits = model(input_ids=batch.ids).logits[:, :-1]
    nn.functional.cross_entropy(logits.flatten(0, 1), batch.ids[:, 1:].flatten(), reduction="sum").backward()
    assert ours.abs().max() > 0 and torch.allclose(ours, learning.grad, rtol=1e-3, atol=1e-4)


def test_a_rotated_embedding_remains_rotated():
    dense, model = tiny(tie_word_embeddings=True), tiny(tie_word_embeddings=True)
    compress(model, build_stage("rotate"), None)
    applied(dense, "tensor-train"), applied(model, "tensor-train")
    with torch.no_grad():
        ours, theirs = model(windows()).logits, dense(windows()).logits
    assert torch.allclose(ours, theirs, atol=1e-3 * theirs.abs().max())


class Squared(nn.Embedding):
    def forward(self, ids):
        return super().forward(ids).square()


class Scaled(nn.Embedding):
    def forward(self, ids):
        return super().forward(ids) * 3


@pytest.mark.parametrize("kind", [Squared, Scaled])
def test_an_embedding_with_extra_computation_is_rejected(kind):
    model = tiny()
    model.set_input_embeddings(kind(97, 32))
    with pytest.raises(UserError, match=f"this model's {kind.__name__} or head differs"):
        applied(model, "tensor-train")
