"""The amount of each linear: what its method plans, with the shifts of single blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from core.amount import RATIO_PLACES
from core.base.errors import UserError
from core.methods.inputs import Plan, Target
from core.methods.linear import LinearMethod
from core.methods.numerics.levels import level_shares
from core.methods.parameters import RATIO_STEP

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.parts.blocks import Linear


class Allotment(NamedTuple):
    """What a method plans for each linear, by name."""

    plan: Plan
    shares: Mapping[str, float]  # the ratio where it is not that of the target


def allot(
    method: LinearMethod, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor], level: bool
) -> Allotment:
    """Return the amounts of the linears.

    A block with another ratio gets what it would get if the whole model had its ratio. Bits are shifted by the method.

    Args:
        method: The method.
        linears: The linears to compress.
        target: The amount of all.
        observed: What the method observed on each linear, by name.
        level: Whether linears that have lost weights before reach one ratio together.

    Raises:
        UserError: The method has shifts that the model cannot have.
    """
    blocks, shifts = [linear.block for linear in linears], method.shifts
    if missing := sorted(shifts.keys() - set(blocks)):
        raise UserError(
            f"{method.label}: shifts name block {missing[0]}, but the blocks are {min(blocks)} to {max(blocks)}."
        )
    if not shifts or method.bit_choices:
        return _of_all(method, linears, target, observed, level)
    more = sum(shifts.get(linear.block, 0) * linear.weight.numel() for linear in linears)
    if more < 0:
        raise UserError(f"{method.label}: with these shifts, more would remain, as the blocks differ in size.")
    targets = {steps: _moved(method, target, steps) for steps in {0, *shifts.values()}}
    parts = {steps: _of_all(method, linears, moved, observed, level) for steps, moved in targets.items()}
    steps = {linear.name: shifts.get(linear.block, 0) for linear in linears}
    plan = {name: parts[count].plan[name] for name, count in steps.items() if name in parts[count].plan}
    return Allotment(plan, {name: parts[count].shares.get(name, targets[count].ratio) for name, count in steps.items()})


def _moved(method: LinearMethod, target: Target, steps: int) -> Target:
    """Return the target of a block that is shifted by some steps; a `UserError` if its ratio is impossible."""
    if not steps:
        return target
    ratio = round(target.ratio + RATIO_STEP * steps, RATIO_PLACES)
    if not 0 <= ratio < 1:
        raise UserError(f"{method.label}: {steps} steps lead to a ratio of {ratio:g}; shift by fewer.")
    return replace(target, ratio=ratio)


def _of_all(
    method: LinearMethod, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor], level: bool
) -> Allotment:
    shares = method.layer_ratios(linears, target, observed)
    if not shares and level:
        shares = level_shares(linears, target.ratio)
    return Allotment(method.plan(linears, target, observed), shares)
