"""A stage applied to a model in memory."""

import torch

from core.context import Context, StageInput
from core.engine.stages import apply
from core.progress import silent


def compress(model, stage, windows, device="cpu", progress=silent, before=None):
    """Apply the stage in place and return its layer reports."""
    return apply(model, StageInput(stage, windows, before), Context(torch.device(device), progress)).reports
