"""The map of kinds: every family has its place, and what has no methods is not on it."""

from typing import get_args

from core.methods.terms import Family
from core.notation.taxonomy import BLACK_BOX, BRANCHES, FINE_TUNING, WHITE_BOX, leaf_of, populated_branches
from core.registry import METHODS, RECOVERIES, STAGES
from core.training.methods.distill_black import DistillBlack
from core.training.methods.distill_white import DistillWhite
from core.training.methods.lora import LoRA


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
