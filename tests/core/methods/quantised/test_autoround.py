"""AutoRound: what it learns against rounding to nearest."""

from functools import partial

import pytest
import torch

from core.amount import Bits
from core.base.errors import CancelledError
from core.context import Context
from core.engine.walking.walk_modes import make_walker
from core.models.parts.blocks import find_blocks
from core.request.stages import build_stage
from tests.core.engine.applied import CALIBRATION, compress, shrunk
from tests.core.tiny import tiny, windows

rounded = partial(shrunk, group_size=16, pattern="3bit")


@pytest.mark.parametrize("symmetric", [True, False])
def test_zero_iterations_round_to_nearest(symmetric):
    one, other = tiny(), tiny()
    rounded(one, "autoround", iterations=0, symmetric=symmetric)
    rounded(other, "rtn", symmetric=symmetric)
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
    rounded(learnt, "autoround", pattern="4bit", symmetric=symmetric, iterations=60)
    rounded(nearest, "rtn", pattern="4bit", symmetric=symmetric)
    ours, theirs = block_losses(dense, learnt), block_losses(dense, nearest)
    assert ours[0] < 0.9 * theirs[0] and ours[1] < 0.95 * theirs[1]


def test_autoround_can_be_cancelled_between_iterations():
    model, calls = tiny(), []

    def stop(*update):
        calls.append(update)
        if len(calls) == 5:
            raise CancelledError

    with pytest.raises(CancelledError):
        compress(model, build_stage("autoround", Bits(3), {"group_size": 16}, CALIBRATION), windows(), progress=stop)
    assert type(next(iter(find_blocks(model).all_linears())).module) is torch.nn.Linear
