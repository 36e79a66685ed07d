"""AWQ and AutoRound against rounding to nearest, and rotations that change nothing that a model computes."""

import copy
from functools import partial

import pytest
import torch

from core.base.errors import UserError
from core.context import Context
from core.engine.walking.walker import make_walker
from core.evaluation.footprint import footprint
from core.methods.find import find_grid
from core.methods.kinds import TransformMethod
from core.methods.quantised.hadamard import hadamard, random_rotation
from core.methods.quantised.scaling import clipped, powers
from core.models.parts.blocks import find_blocks
from core.registry import METHODS, PREPARATIONS
from core.request.stages import build_stage
from core.specs import UNCHANGED
from tests.core.contract.ground import counts, linears, same
from tests.core.engine.applied import check_reloads, compress, shrunk
from tests.core.tiny import layout_of, tiny, windows

rounded = partial(shrunk, group_size=16, pattern="4bit")


@pytest.fixture
def model():
    """A model in which a few inputs of every layer are much larger than the others, as in language models."""
    made = tiny("llama-mha")
    for name, parameter in made.named_parameters():
        if name.endswith("layernorm.weight"):
            parameter.data[::7] *= 20
        if name.endswith(("v_proj.weight", "up_proj.weight")):
            parameter.data[::7] *= 20
    return made


def logits_off(model, method, **settings):
    """By how much a method changes the model's outputs, relative."""
    text, changed = windows(), copy.deepcopy(model)
    rounded(changed, method, **settings)
    with torch.no_grad():
        dense = model(text).logits
        return float((changed(text).logits - dense).norm() / dense.norm())


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_scaling_reduces_the_output_error(model, bits):
    assert logits_off(model, "awq", pattern=bits, clip=False) < 0.9 * logits_off(model, "rtn", pattern=bits)


def test_unscaled_linears_are_noted(model):
    assert all(report.note is None for report in rounded(model, "awq"))
    assert {report.role for report in rounded(tiny("llama-gqa"), "awq") if report.note == "not scaled"} == {"o"}


def test_powers_are_centred_on_1():
    size = torch.tensor([0.01, 1.0, 4.0])
    assert torch.equal(powers(size, 0.0), torch.ones(3))
    torch.testing.assert_close(powers(size, 0.5), torch.tensor([0.1, 1.0, 2.0]) / 0.2**0.5)


def test_clipping_reduces_the_output_error():
    draw = torch.Generator().manual_seed(0)
    weight, inputs = torch.randn(24, 64, generator=draw), torch.randn(200, 64, generator=draw)
    weight[:, ::16] *= 3

    def nearest(one):
        return find_grid(one, 3, 16).nearest(one)

    def error(rounded):
        return float((inputs @ (rounded - weight).T).square().sum())

    cut = clipped(weight, inputs, 16, nearest)
    assert error(nearest(cut)) < error(nearest(weight))
    assert (cut.abs() <= weight.abs()).all()


@pytest.mark.parametrize("symmetric", [True, False])
def test_zero_iterations_round_to_nearest(symmetric):
    one, other = tiny(), tiny()
    rounded(one, "autoround", iterations=0, symmetric=symmetric)
    rounded(other, "rtn", symmetric=symmetric)
    assert same(one, other)


def block_losses(dense, rounded):
    """By how much the outputs of each block differ from the dense model's, on the rounded blocks before it."""
    found = []
    for model in (dense, rounded):
        blocks = find_blocks(model)
        walker = make_walker(
            model, blocks, windows(), lambda role: frozenset(), Context(torch.device("cpu")), list(blocks.all_linears())
        )
        outputs = []
        walker.observe(lambda index, inputs, output, outputs=outputs: outputs.append((index, output)))
        found.append(outputs)
    losses = {}
    for (index, ours), (_, theirs) in zip(*found, strict=True):
        losses[index] = losses.get(index, 0.0) + float((ours - theirs).square().sum())
    return losses


@pytest.mark.parametrize(("name", "symmetric"), [("llama-gqa", True), ("gpt2", False)])
def test_block_outputs_move_closer_to_dense(name, symmetric):
    dense, learnt, nearest = tiny(name), tiny(name), tiny(name)
    rounded(learnt, "autoround", symmetric=symmetric, iterations=60)
    rounded(nearest, "rtn", symmetric=symmetric)
    ours, theirs = block_losses(dense, learnt), block_losses(dense, nearest)
    assert ours[0] < 0.9 * theirs[0] and ours[1] < 0.95 * theirs[1]


TURNED = ("llama-gqa", "llama-mha", "qwen2-sliding", "qwen3", "mistral", "smollm3", "granite")
OTHERS = ("opt", "gpt2", "gemma2", "gemma3", "olmo2")


def rotate(**settings):
    return build_stage("rotate", settings=settings)


@pytest.mark.parametrize("order", [1, 2, 12, 20, 28, 36, 60, 64, 576, 1536])
def test_hadamard_matrices_have_orthogonal_rows_of_1_and_minus_1(order):
    found = hadamard(order)
    assert (found.abs() == 1).all()
    torch.testing.assert_close(found @ found.T, order * torch.eye(order, dtype=torch.float64))


@pytest.mark.parametrize("width", [8, 36, 52, 7])
def test_rotations_are_orthogonal_and_depend_on_the_seed(width):
    one, other = random_rotation(width, 0), random_rotation(width, 1)
    torch.testing.assert_close(one @ one.T, torch.eye(width, dtype=torch.float64))
    assert torch.equal(one, random_rotation(width, 0)) and not torch.equal(one, other)
    assert (hadamard(width) is None) is (width in (52, 7))


@pytest.fixture
def gained():
    """Make models whose norms have gains that matter, and biases where they have some."""

    def make(name, **changes):
        model, draw = tiny(name, **changes), torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.data.copy_(torch.rand(parameter.shape, generator=draw) + 0.5)
        return model

    return make


@pytest.mark.matrix(name=lambda name: name not in ("llama-mha", "mistral") and name, settings=str, tied=bool)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("settings", [{}, {"heads": False}, {"draw": 3}], ids=str)
@pytest.mark.parametrize("name", TURNED)
def test_a_rotated_model_gives_the_same_outputs_with_other_weights(name, settings, tied, gained, tmp_path):
    model, text = gained(name, tie_word_embeddings=tied), windows()
    dense = copy.deepcopy(model)
    compress(model, rotate(**settings), None)
    with torch.no_grad():
        before, after = dense(text).logits, model(text).logits
        assert (after - before).norm() < 1e-4 * before.norm()
        again = check_reloads(model, tmp_path)
    changed = {
        one.role
        for one, other in zip(linears(model), linears(dense), strict=True)
        if not torch.allclose(one.weight, other.weight, atol=1e-3)
    }
    assert changed == {"q", "k", "v", "o", "gate", "up", "down"}
    assert torch.equal(model.get_output_embeddings().weight, dense.get_output_embeddings().weight)
    width = model.config.hidden_size
    ours, theirs = (footprint(one, *counts(dense)) for one in (model, dense))
    assert ours.model_parameters == theirs.model_parameters + 2 * width**2
    assert ours.macs == theirs.macs + 64 * 2 * width**2
    assert footprint(again, *counts(dense)) == ours


@pytest.mark.matrix(name=layout_of)
@pytest.mark.parametrize("name", OTHERS)
def test_unsupported_models_are_rejected_unchanged(name):
    model = tiny(name)
    before = copy.deepcopy(model)
    with pytest.raises(UserError, match=r"needs (blocks|a plain|q, k)|Structured"):
        compress(model, rotate(), None)
    assert same(model, before)


def test_unchanged_lists_all_preparations():
    assert {"dense", *(stage.name for stage in PREPARATIONS)} == set(UNCHANGED)
    assert not any(issubclass(method, TransformMethod) for method in METHODS)
    assert not rotate().recovers
