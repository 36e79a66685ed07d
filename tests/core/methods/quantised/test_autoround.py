"""AutoRound: what it learns against rounding to nearest."""

import copy

import pytest
import torch

from core.amount import Amount
from core.context import Context
from core.engine.walking.walk_modes import make_walker
from core.errors import CancelledError
from core.methods.quantised.signed import MOST, LearnedRounding
from core.models.parts.blocks import find_blocks
from core.models.parts.grids import grid_of
from core.request.stages import build_stage
from core.specs import TextWindows
from tests.core.engine.applied import compress
from tests.core.tiny import ARCHITECTURES, layout_of, tiny, windows

TEXT = TextWindows.parse("any:4x24")


def autoround(bits="3bit", **settings):
    return build_stage("autoround", Amount.from_columns(None, bits), {"group_size": 16, **settings}, TEXT)


def rtn(bits="3bit", **settings):
    return build_stage("rtn", Amount.from_columns(None, bits), {"group_size": 16, **settings})


@pytest.mark.parametrize("symmetric", [True, False])
def test_zero_iterations_round_to_nearest(symmetric):
    one, other = tiny(), tiny()
    compress(one, autoround(iterations=0, symmetric=symmetric), windows())
    compress(other, rtn(symmetric=symmetric), None)
    theirs = other.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


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
    compress(learnt, autoround("4bit", symmetric=symmetric, iterations=60), windows())
    compress(nearest, rtn("4bit", symmetric=symmetric), None)
    ours, theirs = block_losses(dense, learnt), block_losses(dense, nearest)
    assert ours[0] < 0.9 * theirs[0] and ours[1] < 0.95 * theirs[1]


@pytest.mark.matrix(name=layout_of)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_rounded_weights_are_on_their_grid_and_others_unchanged(name):
    model = tiny(name)
    before = copy.deepcopy(model)
    reports = compress(model, autoround(iterations=3), windows())
    linears = list(find_blocks(model).all_linears())
    assert [report.bits for report in reports] == [3] * len(linears)
    for linear in linears:
        torch.testing.assert_close(grid_of(linear.module).nearest(linear.weight), linear.weight)
    assert {name: type(module) for name, module in model.named_modules()} == {
        name: type(module) for name, module in before.named_modules()
    }
    inside = tuple(linear.name + ".weight" for linear in linears)
    ours = dict(model.named_parameters())
    assert all(torch.equal(ours[key], value) for key, value in before.named_parameters() if key not in inside)


def test_learnt_offsets_stay_within_half_a_step_and_keep_zeros():
    model = tiny()
    linear = next(iter(find_blocks(model).all_linears()))
    linear.weight[:, ::2] = 0
    learnt = LearnedRounding(linear, 3, 16, True)
    learnt.step([torch.randn_like(parameter) for parameter in learnt.parameters()], 3.0)
    assert learnt.added.abs().max() == MOST
    assert learnt.below.min() >= 0 and learnt.above.max() <= 1
    assert not learnt.settled(linear.weight)[0][:, ::2].any()


def test_autoround_can_be_cancelled_between_iterations():
    model, calls = tiny(), []

    def stop(*update):
        calls.append(update)
        if len(calls) == 5:
            raise CancelledError

    with pytest.raises(CancelledError):
        compress(model, autoround(), windows(), progress=stop)
    assert type(next(iter(find_blocks(model).all_linears())).module) is torch.nn.Linear
