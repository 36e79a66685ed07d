"""One stage applied to a model in memory: how each kind of method is carried out."""

from __future__ import annotations

from torch import Tensor, nn

from core.engine.by_block import shrink
from core.engine.by_linear import compress_linears
from core.models.blocks import execution_device
from core.progress import Progress
from core.registry import get_method
from core.request.stages import parse_parameters
from core.results import LayerReport
from core.specs import Stage


def compress(
    model: nn.Module,
    stage: Stage,
    windows: Tensor | None,
    device: str,
    progress: Progress,
    before: str | None = None,
) -> list[LayerReport]:
    """Apply a stage to the model in place and return one report a linear.

    `windows` (N, L) are the calibration tokens of a method that reads activations. `before` is the key of the variant
    that the model is; with it, what a method observes of the whole model is kept for other ratios. Raises `UserError`
    where the stage does not fit the model, before anything is changed.
    """
    found = get_method(stage.method)
    if found.family == "dense":
        return []
    method = found(parse_parameters(found, stage.parameters), stage.seed)
    carry_out = compress_linears if method.scope == "linear" else shrink
    return carry_out(model, method, stage, windows, execution_device(device), progress, before)
