"""AWQ and AutoRound: scales, clipped ranges and learnt offsets against rounding to nearest."""

import copy
from functools import partial

import pytest
import torch

from core.context import Context
from core.engine.walking.walker import make_walker
from core.methods.find import find_grid
from core.methods.quantised.scaling import clipped, powers
from core.models.parts.blocks import find_blocks
from tests.core.contract.ground import same
from tests.core.engine.applied import shrunk
from tests.core.tiny import tiny, windows

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
