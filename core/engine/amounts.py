"""The amount of a stage, as the share of the current weights to remove and as a target, and that of each linear."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from core.amount import RATIO_PLACES, Bits, Pattern, Ratio
from core.base.errors import UserError
from core.context import StageInput
from core.methods.base import Method
from core.methods.linear import LinearMethod, Plan, Target
from core.methods.numerics.levels import level_shares
from core.methods.parameters import RATIO_STEP
from core.models.parts.blocks import Linear, select
from core.models.parts.sizes import size_before
from core.notation.removal import GAP_TOLERANCE, format_percent
from core.specs import Stage


def fraction_to_remove(method: Method, given: StageInput) -> float:
    """Compute the share of the current weights that a stage must remove to reach its pruning ratio.

    The ratio refers to the dense model's block-linear weights, or to the selected ones with `layers`. It counts removed
    weights and weights with a zero constraint. A method that zeroes weights knows the zeros, so its share is of all
    current weights. A method that removes units removes their zeros evenly, so its share is of the nonzero weights. N:M
    sparsity refers to the current rows. Raises `UserError` if earlier stages removed more than the ratio allows.
    """
    stage = given.stage
    if not isinstance(stage.amount, Ratio):
        return stage.required_ratio
    blocks = given.blocks
    linears = select(list(blocks.all_linears()), stage.layers, len(blocks.holder))
    present = sum(linear.weight.numel() for linear in linears)
    remaining = present - (0 if "zeros" not in method.accepts else sum(linear.bound for linear in linears))
    dense = present if given.dense_sizes is None else size_before(linears, given.dense_sizes)
    if given.dense_sizes is not None and stage.layers is None:
        dense = sum(given.dense_sizes.values())  # includes removed blocks
    removed = 1 - remaining / dense
    rounding = 0.5 / min(linear.weight.shape[1] for linear in linears)  # to whole weights per row
    if removed > stage.required_ratio + max(GAP_TOLERANCE, rounding):
        raise UserError(
            f"{method.label} targets {format_percent(stage.required_ratio)}, but {format_percent(removed)} of the "
            "weights are already removed; raise the ratio or remove the stage."
        )
    counted = present if method.ratio_kind == "sparsity" else remaining
    if counted == dense:
        return stage.required_ratio
    to_remove = counted - (1 - stage.required_ratio) * dense
    if given.dense_sizes is not None and not (method.selects_layers or method.ratio_kind == "sparsity"):
        # Units are removed only from linears of the dense model, so SliceGPT's shortcuts do not count.
        counted -= sum(linear.weight.numel() for linear in linears if not size_before([linear], given.dense_sizes))
    return max(0.0, to_remove / counted)


def target_of(stage: Stage, share: float) -> Target:
    """Return the target of each linear or table of a stage that removes `share` of the weights."""
    match stage.amount:
        case Pattern() as pattern:
            return Target(share, pattern.pair)
        case Bits(bits=bits):
            return Target(share, bits=bits)
    return Target(share)


class Allotment(NamedTuple):
    """What a method plans for each linear, by name."""

    plan: Plan
    shares: Mapping[str, float]  # the ratio where it is not that of the target


def allot(
    method: LinearMethod, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor], level: bool
) -> Allotment:
    """Return the amounts of the linears; raise `UserError` for shifts that the model cannot have.

    A block with another ratio gets what it would get if the whole model had its ratio. Bits are shifted by the method.
    `observed` has what the method observed on each linear, by name. With `level`, linears that have lost weights before
    reach one ratio together.
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
