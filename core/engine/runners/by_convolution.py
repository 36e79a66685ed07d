"""Decomposition of each convolution of a model, in place, into two consecutive convolutions."""

import time
from math import prod

import torch
from transformers import PreTrainedModel

from core.base.errors import UserError
from core.context import Context, StageInput, StageResult
from core.evaluation.layers import ReportFields
from core.methods.convolution.base import ConvMethod, Cut, Options, allocate
from core.models.modeling_slimscope import put
from core.models.parts.convolutions import Convolution, convolutions_of, pair_in_place_of
from core.request.resolve import needs_convolutions
from core.results import CONVOLUTION, LayerReport


@torch.no_grad()
def decompose_convolutions(
    model: PreTrainedModel, method: ConvMethod, given: StageInput, context: Context
) -> StageResult:
    """Decompose the model's convolutions to remove a share of all their weights; report errors of the weights.

    Raises `UserError` if the model has no convolutions, or none can be made smaller; it stays unchanged.
    """
    convolutions = convolutions_of(model)
    total = len(convolutions)
    if not convolutions:
        raise needs_convolutions(method)
    if not given.share:
        return StageResult([])
    options = {}
    for done, one in enumerate(convolutions):
        context.progress("compress", done, 2 * total, one.name)
        options[one.name] = Options.of(one.kernel.float(), one.module.groups, method.forms)
    if not any(one.cuts for one in options.values()):
        raise UserError(
            f"{method.label} can make none of the {total} convolutions of this model smaller; choose another model."
        )
    plan = allocate(options, given.share)
    reports = []
    for done, one in enumerate(convolutions):
        context.progress("compress", total + done, 2 * total, one.name)
        cut = plan[one.name]
        fields: ReportFields = {"shape": one.shape, "sparsity": 0.0, "error": 0.0, "error_kind": "weight"}
        if cut is None:
            fields["note"] = _note_whole(one, options[one.name])
        else:
            fields |= _decompose(model, method, one, cut)
        reports.append(LayerReport(name=one.name, block=done, role=CONVOLUTION, **fields))
    context.progress("compress", 2 * total, 2 * total, "")
    return StageResult(reports)


def _decompose(model: PreTrainedModel, method: ConvMethod, one: Convolution, cut: Cut) -> ReportFields:
    """Replace a convolution with two; return the fields of its report."""
    started, kernel = time.perf_counter(), one.kernel.float()
    pair, error = method.compress(kernel, one.module.groups, cut)
    put(model, one.name, pair_in_place_of(one.module, pair.first, pair.second, pair.first_groups, pair.axes))
    return {
        "sparsity": 1 - (pair.first.numel() + pair.second.numel()) / kernel.numel(),
        "error": error,
        "seconds": round(time.perf_counter() - started, 4),
        "note": str(cut),
    }


def _note_whole(one: Convolution, options: Options) -> str:
    """Return the note of an unchanged convolution, with the reason if it has no smaller form."""
    if options.cuts:
        return "left whole"
    kind = "1 x 1, " if prod(one.module.kernel_size) == 1 else ""
    if one.module.groups > 1 and one.kernel.shape[1] == 1:
        kind = "depthwise, "
    return f"left whole: {kind}no smaller as two"
