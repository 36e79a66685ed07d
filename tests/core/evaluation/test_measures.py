"""Perplexity, footprint, latency and the layer report on tiny models, and linears that compute on their codes."""

import math

import pandas as pd
import pytest
import torch
from torch import nn

from core.base.errors import CancelledError, UserError
from core.base.memory import memory_growth
from core.base.progress import silent
from core.evaluation import perplexity as perplexity_module
from core.evaluation import states
from core.evaluation.footprint import footprint, packed_bits
from core.evaluation.latency import latency
from core.evaluation.layers import relative_error
from core.evaluation.outcomes import summary
from core.evaluation.packed import EIGHT, FOUR, Int4Linear, Int8Linear, held_bytes, packed
from core.evaluation.perplexity import perplexity
from core.evaluation.states import states_by_block
from core.methods.find import find_grid
from core.models.parts import products
from core.models.parts.blocks import find_blocks
from core.models.parts.grids import set_grid
from core.models.parts.products import quick_products
from core.request.stages import build_stage
from core.statistics.longrun import StandardError, independent
from tests.core.contract.ground import same
from tests.core.engine.applied import compress, shrunk
from tests.core.tiny import tiny, windows


def read(model, texts, progress=silent):
    """Return {text: its samples}, in the order in which the texts were done."""
    return {reading.text: reading.samples for reading in perplexity(model, texts, progress)}


def losses(model, tokens):
    """Return the loss of each window."""
    return list(-read(model, {"text": tokens})["text"]["perplexity"])


def own_losses(model, tokens):
    """Return the loss of each window according to Transformers."""
    with torch.no_grad():
        return [model(input_ids=window[None], labels=window[None]).loss.item() for window in tokens]


@pytest.mark.parametrize("columns", [20, 97, 2048])
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *((name, {}) for name in ("llama-gqa", "llama-mha", "opt", "gpt2", "qwen2-sliding", "qwen3", "mistral")),
        *((name, {}) for name in ("gemma2", "gemma3", "phi3", "cohere", "granite", "olmo2", "gpt-neo")),
        ("gemma2", {"final_logit_softcapping": None}),
        ("gemma2", {"final_logit_softcapping": 2.0}),
        ("cohere", {"logit_scale": 1.0}),
        ("granite", {"logits_scaling": 1.0}),
    ],
)
def test_window_loss_equals_the_loss_of_transformers(name, changes, columns, monkeypatch):
    monkeypatch.setattr(states, "COLUMNS", columns)
    model, tokens = tiny(name, **changes), windows(3, 20)
    assert losses(model, tokens) == pytest.approx(own_losses(model, tokens), rel=1e-5)


def test_the_inflation_compares_squared_standard_errors():
    samples = pd.DataFrame({"acc": [0.0, 1.0, 1.0, 1.0]})
    found = summary("acc", samples, lambda values: StandardError(2 * independent(values).value, 3.0))
    assert found["inflation"] == pytest.approx(4)


def test_perplexity_follows_the_definition_of_the_papers():
    model, tokens = tiny(), windows(3, 20)
    own = torch.tensor(own_losses(model, tokens))
    found = summary("perplexity", read(model, {"text": tokens})["text"])
    assert found["n"] == 3
    assert found["value"] == pytest.approx(own.mean().exp().item(), rel=1e-4)
    assert found["stderr"] == pytest.approx(found["value"] * own.std().item() / math.sqrt(3), rel=1e-3)


def test_packed_bits_takes_the_smallest_layout():
    dense = torch.ones(4, 8)
    assert packed_bits(dense) == 32 * 16
    half = torch.ones(4, 8)
    half[:2] = 0  # half the weights, but not 2 of every 4
    assert packed_bits(half) == 32 + 16 * 16
    pattern = torch.ones(4, 8)
    pattern[:, ::2] = 0
    assert packed_bits(pattern) == packed_bits(pattern, (2, 4)) == 32 * 9
    assert packed_bits(torch.zeros(4, 8)) == 32


def test_footprint_counts_tensors():
    model = tiny(tie_word_embeddings=True)
    parameters = sum(p.numel() for p in model.parameters())
    weights = sum(linear.weight.numel() for linear in find_blocks(model).all_linears())
    shrunk(model, "magnitude", 0.5)
    counted = footprint(model, parameters, weights)
    assert counted.block_zeros == pytest.approx(0.5 * weights, rel=2e-3) and counted.block_weights == weights
    assert counted.model_parameters == parameters
    assert counted.dense_bytes == 2 * parameters
    assert counted.bits_per_weight == pytest.approx(9.0, abs=0.01)
    assert counted.model_zeros == counted.block_zeros
    assert counted.packed_bytes < counted.dense_bytes


def test_latency_gives_prefill_memory_and_decode():
    rows = latency(tiny(max_position_embeddings=1024), "float32", silent)
    assert [(row.metric, row.protocol["batch"]) for row in rows] == [
        ("prefill", 1), ("memory", 1), ("decode", 1), ("prefill", 4), ("memory", 4), ("decode", 4),
    ]  # fmt: skip
    assert all(row.value > 0 for row in rows)
    assert all(row.n > 1 for row in rows if row.metric != "memory")


def test_memory_growth_ignores_earlier_allocations():
    cpu = torch.device("cpu")
    there = torch.ones(2**26)  # 256 MB
    torch.ones(2**26)
    assert memory_growth(lambda: None, cpu) < 20e6
    assert 100e6 < memory_growth(lambda: torch.ones(2**25), cpu) < 160e6  # 134 MB
    assert there.sum() > 0


TEXTS = {"short": windows(7, 24), "long": windows(2, 40)}
TEXTS |= {"other": windows(6, 24, seed=2), "one": windows(1, 24, seed=3)}


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_batched_windows_have_their_single_losses(batch, monkeypatch):
    monkeypatch.setitem(perplexity_module.TOKENS, "cpu", 24 * batch)
    model = tiny()
    found = read(model, TEXTS)
    assert list(found) == ["short", "other", "one", "long"]
    for text, tokens in TEXTS.items():
        assert list(found[text]["doc_id"]) == list(range(len(tokens)))
        assert list(-found[text]["perplexity"]) == pytest.approx(own_losses(model, tokens), rel=1e-5)


def test_progress_names_the_text_and_a_stop_keeps_complete_texts(monkeypatch):
    monkeypatch.setitem(perplexity_module.TOKENS, "cpu", 24 * 5)
    updates, done = [], []

    def progress(stage, count, total, what):
        updates.append((what, count, total))
        if what == "short" and count == total:
            raise CancelledError

    with pytest.raises(CancelledError):
        for reading in perplexity(tiny(), TEXTS, progress):
            done.append(reading.text)
    assert updates == [("short", 0, 7), ("short", 5, 7), ("short", 7, 7)]
    assert done == ["short"]


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
@pytest.mark.parametrize("name", ["llama-gqa", "gpt2"])
def test_layer_report_has_the_relative_error(method, name):
    model = tiny(name)
    reports = shrunk(model, method, 0.5)
    linears = {linear.name: linear for linear in find_blocks(model).all_linears()}
    assert [report.name for report in reports] == list(linears)
    for report in reports:
        weight = linears[report.name].weight
        assert report.shape == tuple(weight.shape)
        assert report.sparsity == (weight == 0).sum().item() / weight.numel() == pytest.approx(0.5, abs=0.02)
        assert report.error_kind == ("weight" if method == "magnitude" else "output")
        assert 0 < report.error < 1
        assert (report.damping is not None) == (method == "sparsegpt")


def test_relative_error_compares_outputs():
    dense, pruned = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 4.0]])
    assert relative_error(dense, pruned, None) == pytest.approx(9 / 25)
    assert relative_error(dense, pruned, torch.tensor([[1.0, 0.0], [0.0, 1.0]])) == pytest.approx(9 / 25)
    assert relative_error(dense, pruned, torch.tensor([[0.0, 1.0]])) == 0


def test_a_pattern_that_does_not_divide_a_layer_is_rejected_unchanged():
    model, dense = tiny(), tiny()
    with pytest.raises(UserError, match=r"does not divide the 32 inputs of model\."):
        shrunk(model, "magnitude", pattern="2:5")
    assert same(model, dense)


WIDE = {"hidden_size": 64, "intermediate_size": 128, "max_position_embeddings": 1024}


def quantised(bits, group=32, symmetric=True, keep=(), **changes):
    """A tiny model whose linears, but those of the roles `keep`, lie on grids."""
    model = tiny(**(WIDE | changes))
    with torch.no_grad():
        for linear in find_blocks(model).all_linears():
            if linear.role not in keep:
                grid = find_grid(linear.weight, bits, group or linear.weight.shape[1], symmetric)
                linear.weight.copy_(grid.nearest(linear.weight))
                set_grid(linear.module, grid)
    return model


def logits(model):
    with torch.inference_mode():
        return model(windows(2)).logits.float()


def difference(one, other):
    return float((one - other).norm() / one.norm())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("bits", "group"), [(4, 32), (4, 64), (3, 0), (2, 32)])
def test_packed_codes_of_few_bits_match_the_linear(bits, group, symmetric):
    weight, bias = torch.randn(48, 128), torch.randn(48)
    grid = find_grid(weight, bits, group or 128, symmetric)
    rounded, inputs = grid.nearest(weight), torch.randn(2, 5, 128).bfloat16()
    exact = inputs.float() @ rounded.T + bias
    assert difference(exact, Int4Linear(rounded, bias, grid)(inputs).float()) < 0.008  # what bf16 rounds


def test_packed_codes_of_8_bits_match_the_linear():
    weight, bias = torch.randn(48, 128), torch.randn(48)
    rounded, inputs = find_grid(weight, 8, 128).nearest(weight), torch.randn(2, 5, 128)
    exact = inputs @ rounded.T + bias
    assert difference(exact, Int8Linear(rounded, bias)(inputs)) < 0.04  # activations have 7 bits


@pytest.mark.parametrize(("bits", "how", "most"), [(4, FOUR, 0.1), (3, FOUR, 0.1), (8, EIGHT, 0.2)])
def test_packing_preserves_outputs_and_unpacking_restores_them(bits, how, most):
    model = quantised(bits)
    own, held = logits(model), held_bytes(model)
    with packed(model) as kind:
        assert kind == how and held_bytes(model) < held
        assert difference(own, logits(model)) < most
    assert torch.equal(own, logits(model)) and held_bytes(model) == held


def test_weights_without_a_grid_are_not_packed():
    with packed(tiny(**WIDE)) as kind:
        assert kind is None
    with packed(quantised(4, group=16)) as kind:  # a group that the product does not have
        assert kind is None
    model = quantised(4, keep=("down",))
    with packed(model) as kind:
        kinds = {type(linear.module).__name__ for linear in find_blocks(model).all_linears()}
        assert kind == FOUR and kinds == {"Linear"}
        assert sum(isinstance(module, Int4Linear) for module in model.modules()) == 6 * len(find_blocks(model).holder)


def test_latency_of_a_packed_model_names_its_activations():
    model = quantised(4)
    with packed(model) as how:
        rows = latency(model, how, silent)
    assert {row.protocol["dtype"] for row in rows} == {FOUR} and all(row.value > 0 for row in rows)


@pytest.mark.parametrize("shape", [(7, 12), (2, 5, 12), (1, 1, 12), (0, 12)])
@pytest.mark.parametrize("bias", [False, True])
def test_quick_linears_match_torch(shape, bias):
    torch.manual_seed(0)
    layer, inputs = nn.Linear(12, 20, bias), torch.randn(*shape)
    with torch.inference_mode():
        expected = layer(inputs)
        with quick_products(torch.float32):
            found = layer(inputs)
            strided = layer(inputs.repeat_interleave(2, -1)[..., ::2])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(strided, expected)


def test_layers_with_gradients_use_torch():
    layer = nn.Linear(12, 20)
    with quick_products(torch.float32):
        layer(torch.randn(3, 12)).sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.usefixtures("machine")
def test_block_by_block_a_rotated_embedding_is_computed_in_the_same_way(monkeypatch):
    model, batches = tiny(tie_word_embeddings=True), [windows(3)]
    compress(model, build_stage("rotate"), None)
    turn, calls, quick = model.get_input_embeddings().turn, [], []
    turn.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    monkeypatch.setattr(products, "_suits", lambda *args: args[1] is turn.weight and quick.append(len(args[0])))
    list(states_by_block(model, batches, "key", lambda done, count: None))
    assert quick.count(3) == calls.count(3) > 1  # before the first block, and with the last one
