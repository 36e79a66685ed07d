"""Amounts, numbers, times and variants in words, and the map of kinds."""

import math
from typing import get_args

import pytest

from core.amount import Amount
from core.methods.terms import Family
from core.notation import formatting
from core.notation.taxonomy import BLACK_BOX, BRANCHES, FINE_TUNING, WHITE_BOX, leaf_of, populated_branches
from core.registry import METHODS, RECOVERIES, STAGES
from core.specs import Stage, TextWindows
from core.training.methods.distill_black import DistillBlack
from core.training.methods.distill_white import DistillWhite
from core.training.methods.lora import LoRA

TEXT = TextWindows.parse("c4-sample:16x2048")
MAGNITUDE, MORE = Stage(method="magnitude", ratio=0.2), Stage(method="magnitude", ratio=0.5)
GLOBAL = MORE.model_copy(update={"parameters": {"allocation": "global"}})
ADAPRUNE = Stage(method="adaprune", calibration=TEXT, seed=0)
OTHER = ADAPRUNE.model_copy(update={"calibration": TextWindows.parse("alpaca:64x256"), "seed": 1})
WANDA = Stage(method="wanda", ratio=0.5, pattern="2:4", calibration=TEXT, seed=0)
LORA = Stage(method="lora", calibration=TEXT, seed=0, parameters={"minutes": 5.0})


@pytest.mark.parametrize(
    ("ratio", "pattern", "text"),
    [
        (0.125, math.nan, "12.5 %"),
        (0.75, "4bit", "4 bit"),
        (0.0, None, "0 %"),
        (math.nan, math.nan, "nothing removed"),
    ],
)
def test_amounts_are_formatted(ratio, pattern, text):
    assert formatting.format_amount(Amount.from_columns(ratio, pattern)) == text


@pytest.mark.parametrize(
    ("value", "text"), [(20.123, "20.1"), (1234.5, "1,234"), (3.4e5, "3.4e5"), (math.inf, "∞"), (math.nan, "nan")]
)
def test_numbers_are_short(value, text):
    assert formatting.format_number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "about 1 s"), (20, "about 20 s"), (372, "about 6 min"), (9000, "about 2.5 h")]
)
def test_durations_are_formatted(seconds, text):
    assert formatting.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (360, 540, "about 6 to 9 min"),
        (20, 180, "about 20 s to 3 min"),
        (360, 361, "about 6 min"),
        (5000, 10_000, "about 83 min to 2.8 h"),
    ],
)
def test_ranges_of_durations_name_a_shared_unit_once(low, high, text):
    assert formatting.format_durations(low, high) == text


@pytest.mark.parametrize(
    ("stages", "name"),
    [
        ([Stage(method="sparsegpt", ratio=0.5, seed=3), Stage(method="lora", seed=3)], "SparseGPT, 50 %, then LoRA"),
        ([Stage(method="dense")], "Dense"),
        ([Stage(method="gone", ratio=0.5, pattern="2:4")], "gone, 2:4"),
        ([MAGNITUDE, ADAPRUNE, MORE, ADAPRUNE, LORA], "AdaPrune, 20 %, then AdaPrune, 50 %, then LoRA (minutes 5.0)"),
    ],
)
def test_chains_are_named_by_all_their_stages(stages, name):
    assert formatting.chain_name(stages) == name


@pytest.mark.parametrize(
    ("stages", "parts"),
    [
        ([WANDA, ADAPRUNE], "wanda+adaprune"),
        ([MORE, ADAPRUNE], "adaprune"),
        ([MAGNITUDE, ADAPRUNE, MORE, ADAPRUNE], "adaprune+adaprune"),
        ([MORE, LORA, ADAPRUNE], "magnitude+lora+adaprune"),
        ([LORA], "dense+lora"),
    ],
)
def test_a_chain_has_parts_of_one_method_each(stages, parts):
    assert "+".join(part.name for part in formatting.label_parts(stages)) == parts


def test_every_family_has_a_description_and_every_stage_one_place():
    leaves = [leaf for branch in BRANCHES for leaf in branch.leaves]
    families = [leaf.family for leaf in leaves if leaf.family]
    assert sorted(families) == sorted(set(get_args(Family)) - {"dense", "recovery"})
    assert len(set(leaves)) == len(leaves)
    shown = [method for _, kinds in populated_branches(STAGES) for kind in kinds for method in kind.methods]
    assert sorted(method.name for method in shown) == sorted(m.name for m in STAGES if m.family != "dense")
    assert [branch.name for branch, _ in populated_branches(METHODS[:3])] == ["Pruning"]
    assert populated_branches(()) == []


def test_recoveries_differ_by_their_teacher_signal():
    assert (leaf_of(DistillWhite), leaf_of(DistillBlack), leaf_of(LoRA)) == (WHITE_BOX, BLACK_BOX, FINE_TUNING)
    assert len(RECOVERIES) == 3
