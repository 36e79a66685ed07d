"""A stage applied to a model in memory."""

import torch

from core.amount import Amount
from core.base.errors import CancelledError
from core.base.progress import silent
from core.context import Context, StageInput
from core.engine.stages import apply
from core.models.manifest import load_model_folder, save_model
from core.models.parts.blocks import find_blocks
from core.request.stages import build_stage
from core.specs import TextWindows
from tests.core.tiny import windows as drawn_windows

CALIBRATION = TextWindows(corpus="any", windows=4, window=24)


def compress(model, stage, windows, device="cpu", progress=silent, before=None):
    """Apply the stage in place and return its layer reports."""
    return apply(model, StageInput(stage, windows, before), Context(torch.device(device), progress)).reports


def shrunk(model, method, ratio=0.4, pattern=None, layers=None, before=None, calibration=CALIBRATION, **settings):
    """Apply a method in place, calibrated on four windows, and return its layer reports."""
    amount = Amount.from_columns(None if pattern else ratio, pattern)
    return compress(
        model, build_stage(method, amount, settings, calibration, 0, layers), drawn_windows(), before=before
    )


def stopping(at, error=CancelledError):
    """Build a progress function that raises an error where `at` of its arguments is true."""

    def progress(*update):
        if at(*update):
            raise error

    return progress


def check_reloads(model, folder):
    """Save a model and load it; return the loaded one, which computes the same."""
    save_model(model, folder)
    again = load_model_folder(folder, torch.float32)
    torch.testing.assert_close(again(drawn_windows()).logits, model(drawn_windows()).logits)
    return again


def block_weights(model):
    return sum(linear.weight.numel() for linear in find_blocks(model).all_linears())


@torch.no_grad()
def inputs_of(model, linears, tokens):
    """Return the inputs of linears by name, (tokens, in)."""
    found = {}
    handles = [
        linear.module.register_forward_pre_hook(
            lambda module, args, name=linear.name: found.__setitem__(name, args[0].flatten(0, -2))
        )
        for linear in linears
    ]
    model(input_ids=tokens)
    for handle in handles:
        handle.remove()
    return found
