"""What a stage's ratio comes to for the model as earlier stages have left it: the one place that converts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.achieved import GAP_TOLERANCE, format_percent
from core.context import StageInput
from core.errors import UserError
from core.methods.base import Method
from core.methods.convolution.base import ConvMethod
from core.models.parts.blocks import find_blocks, select
from core.models.parts.sizes import size_before

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def fraction_to_remove(model: PreTrainedModel, method: Method, given: StageInput) -> float:
    """Return the share of the weights that are there now that must go for the stage's ratio to be gone.

    The ratio is of the dense model's block-linear weights, of the selected ones with `layers`; it counts what is zero
    for good or no longer there. A method that zeroes weights takes a share of all that are there and knows which are
    zero; one that takes parts away takes zeros with it, evenly, so its share is of what is not zero. An N:M pattern is
    of the rows as they are. Raises `UserError` where more is gone already, by more than rounding explains.
    """
    stage = given.stage
    if stage.pattern is not None or isinstance(method, ConvMethod):  # which no other removal goes before
        return stage.required_ratio
    blocks = find_blocks(model)
    linears = select(list(blocks.all_linears()), stage.layers, len(blocks.holder))
    present = sum(linear.weight.numel() for linear in linears)
    left = present - (0 if method.preserves == "nothing" else sum(linear.bound for linear in linears))
    dense = present if given.dense_sizes is None else size_before(linears, given.dense_sizes)
    if given.dense_sizes is not None and stage.layers is None:
        dense = sum(given.dense_sizes.values())  # blocks that were removed count
    gone = 1 - left / dense
    rounded = 0.5 / min(linear.weight.shape[1] for linear in linears)  # what whole weights of a row may miss
    if gone > stage.required_ratio + max(GAP_TOLERANCE, rounded):
        raise UserError(
            f"{method.label} is asked for {format_percent(stage.required_ratio)} of the weights gone, and "
            f"{format_percent(gone)} are gone already; ask for more, or leave it out."
        )
    counted = present if method.ratio_kind == "sparsity" else left
    if counted == dense:
        return stage.required_ratio
    due = counted - (1 - stage.required_ratio) * dense
    if given.dense_sizes is not None and not (method.selects_layers or method.ratio_kind == "sparsity"):
        # Units are cut of what the dense model has, too; a shortcut of SliceGPT stays.
        counted -= sum(linear.weight.numel() for linear in linears if not size_before([linear], given.dense_sizes))
    return max(0.0, due / counted)
