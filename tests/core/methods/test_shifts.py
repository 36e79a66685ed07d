"""Blocks whose amount is some steps from that of the model."""

import re

import pytest
import torch

from core.amount import Amount
from core.base.errors import UserError
from core.methods.parameters import RATIO_STEP, ShiftedParameters
from core.models.parts.blocks import find_blocks
from core.models.parts.grids import grid_of
from core.notation.chain import ChainDefaults, format_chain, parse
from core.registry import METHODS
from core.request.resolve import resolve_chain
from core.request.stages import build_stage
from tests.core.engine.applied import CALIBRATION, compress
from tests.core.tiny import tiny, windows

BLOCKS = 4
SHIFTABLE = [method for method in METHODS if issubclass(method.Parameters, ShiftedParameters)]
WIDE = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}


def made(method, amount, **settings):
    model = tiny(num_hidden_layers=BLOCKS, **WIDE)
    compress(model, build_stage(method, Amount.parse(amount), settings, CALIBRATION), windows())
    return model


def of_blocks(model):
    """The mean bits of each block, or the share of its weights that remains, factors included."""
    dense = find_blocks(tiny(num_hidden_layers=BLOCKS, **WIDE))
    found = []
    for block in range(BLOCKS):
        linears = find_blocks(model).linears(block)
        each = [grid.bits if (grid := grid_of(linear.module)) else 1 for linear in linears]
        left = sum(bits * int(torch.count_nonzero(one.weight)) for bits, one in zip(each, linears, strict=True))
        found.append(left / sum(linear.weight.numel() for linear in dense.linears(block)))
    return found


def test_a_block_with_another_ratio_is_that_of_a_model_with_this_ratio():
    shifted = made("magnitude", "0.5", shifts="1:1;2:-1")
    plain = {0: made("magnitude", "0.5"), 1: made("magnitude", "0.55"), -1: made("magnitude", "0.45")}
    for block, steps in enumerate((0, 1, -1, 0)):
        states = [find_blocks(model).holder[block].state_dict() for model in (shifted, plain[steps])]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.matrix(method=lambda method: method.family)
@pytest.mark.parametrize(
    "method", [method for method in SHIFTABLE if not method.bit_choices], ids=lambda method: method.name
)
def test_shifted_ratios_leave_the_whole(method):
    before, after = (of_blocks(made(method.name, "0.5", shifts=shifts)) for shifts in (None, "1:2;2:-2"))
    assert after[1] - before[1] == pytest.approx(-2 * RATIO_STEP, abs=0.03)
    assert after[2] - before[2] == pytest.approx(2 * RATIO_STEP, abs=0.03)
    assert sum(after) <= sum(before) + 0.01


def test_a_step_doubles_the_weight_of_a_blocks_losses():
    before, after = (of_blocks(made("gptq", "3.5bit", shifts=shifts)) for shifts in (None, "1:20;2:-20"))
    assert after[1] > before[1] and after[2] < before[2]
    assert sum(after) / BLOCKS <= 3.5


@pytest.mark.parametrize(
    ("settings", "amount", "message"),
    [
        ({"shifts": "1:1"}, "0.5", "the steps add up to 1; they must add up to 0"),
        ({"shifts": "1:1;1:-1"}, "0.5", "give each block once, as block:steps;block:steps, such as 3:1;7:-1"),
        ({"shifts": "one"}, "0.5", "give each block once"),
        ({"shifts": "1:1;2:-1"}, "2:4", "Wanda: shifts need an even ratio or a mean of bits, such as 0.5"),
        ({"shifts": "1:1;2:-1", "allocation": "owl"}, "0.5", "Wanda: shifts need an even ratio"),
        ({"shifts": "1:1;9:-1"}, "0.5", "Wanda: shifts name block 9, but the blocks are 0 to 3."),
        ({"shifts": "1:11;2:-11"}, "0.5", "Wanda: 11 steps lead to a ratio of 1.05; shift by fewer."),
    ],
)
def test_impossible_shifts_are_refused(settings, amount, message):
    with pytest.raises(UserError, match=re.escape(message)):
        made("wanda", amount, **settings)


def test_whole_bits_cannot_be_shifted():
    with pytest.raises(UserError, match=r"GPTQ: shifts need an even ratio or a mean of bits, .* not 4bit"):
        made("gptq", "4bit", shifts="1:1;2:-1")


def test_equal_shifts_are_one_variant():
    defaults = ChainDefaults(CALIBRATION, None, 0)
    texts = ("wanda@0.5,shifts=7:-1;3:1;4:0", "wanda@0.5,shifts=3:1;7:-1")
    first, second = (resolve_chain(parse(text), defaults) for text in texts)
    assert first == second and format_chain(first) == texts[1]
    assert resolve_chain(parse("wanda@0.5,shifts=3:0"), defaults) == resolve_chain(parse("wanda@0.5"), defaults)
