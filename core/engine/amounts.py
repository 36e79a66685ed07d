"""Conversion of a stage's amount into the share of the current weights to remove, and into a target."""

from __future__ import annotations

from core.amount import Bits, Pattern, Ratio
from core.base.errors import UserError
from core.context import StageInput
from core.methods.base import Method
from core.methods.inputs import Target
from core.models.parts.blocks import select
from core.models.parts.sizes import size_before
from core.notation.achieved import GAP_TOLERANCE, format_percent
from core.specs import Stage


def fraction_to_remove(method: Method, given: StageInput) -> float:
    """Compute the share of the current weights that a stage must remove to reach its pruning ratio.

    The ratio refers to the dense model's block-linear weights, or to the selected ones with `layers`. It counts
    removed weights and weights with a zero constraint. A method that zeroes weights knows the zeros, so its share is
    of all current weights. A method that removes units removes their zeros evenly, so its share is of the nonzero
    weights. N:M sparsity refers to the current rows.

    Raises:
        UserError: Earlier stages removed more than the ratio allows, beyond rounding.
    """
    stage = given.stage
    alone = "convolutions" in method.modifies  # no other removal may precede it
    if alone or not isinstance(stage.amount, Ratio):
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
