"""The convolutions of a model, each decomposed in place into two that follow each other."""

from __future__ import annotations

import time
from math import prod
from typing import TYPE_CHECKING, Any

import torch

from core.context import Context, StageInput, StageResult
from core.errors import UserError
from core.methods.convolution.allocation import Cut, Options
from core.methods.convolution.base import ConvMethod
from core.models.modeling_slimscope import put
from core.models.parts.convolutions import Convolution, convolutions_of, pair_in_place_of
from core.request.compatibility import needs_convolutions
from core.results import CONVOLUTION, LayerReport

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.no_grad()
def decompose_convolutions(
    model: PreTrainedModel, method: ConvMethod, given: StageInput, context: Context
) -> StageResult:
    """Decompose the convolutions of the model so that a share of all their weights goes; the errors are of the weights.

    Raises `UserError` where the model has none, or none that would be smaller as two, before anything is changed.
    """
    found = convolutions_of(model)
    if not found:
        raise needs_convolutions(method)
    if not given.share:
        return StageResult([])
    options = {}
    for done, one in enumerate(found):
        context.progress("compress", done, 2 * len(found), one.name)
        options[one.name] = method.options(one.kernel.float(), one.module.groups)
    if not any(one.cuts for one in options.values()):
        raise UserError(f"{method.label} would make none of the {len(found)} convolutions of this model smaller.")
    plan = method.plan(options, given.share)
    reports = []
    for done, one in enumerate(found):
        context.progress("compress", len(found) + done, 2 * len(found), one.name)
        cut = plan[one.name]
        told: dict[str, Any] = {"sparsity": 0.0, "error": 0.0, "error_kind": "weight"}
        told |= {"note": _left_whole(one, options[one.name])} if cut is None else _decompose(model, method, one, cut)
        reports.append(LayerReport(name=one.name, block=done, role=CONVOLUTION, shape=one.shape, **told))
    context.progress("compress", 2 * len(found), 2 * len(found), "")
    return StageResult(reports)


def _decompose(model: PreTrainedModel, method: ConvMethod, one: Convolution, cut: Cut) -> dict[str, Any]:
    """Put two convolutions in the place of one; return what its report says."""
    started, kernel = time.perf_counter(), one.kernel.float()
    pair, error = method.compress(kernel, one.module.groups, cut)
    put(model, one.name, pair_in_place_of(one.module, pair.first, pair.second, pair.first_groups, pair.axes))
    return {
        "sparsity": 1 - (pair.first.numel() + pair.second.numel()) / kernel.numel(),
        "error": error,
        "seconds": round(time.perf_counter() - started, 4),
        "note": str(cut),
    }


def _left_whole(one: Convolution, options: Options) -> str:
    """Say that a convolution stays as it is, and why where it has no smaller form."""
    if options.cuts:
        return "left whole"
    kind = "1 x 1, " if prod(one.module.kernel_size) == 1 else ""
    if one.module.groups > 1 and one.kernel.shape[1] == 1:
        kind = "depthwise, "
    return f"left whole: {kind}no smaller as two"
