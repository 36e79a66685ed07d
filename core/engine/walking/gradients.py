"""Gradients of the next-token loss with respect to block linears, one calibration sequence at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.methods.inputs import Accumulator
from core.models.parts.blocks import Linear, move
from core.progress import Progress
from core.training.examples import Batch
from core.training.losses import text_loss

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def gather_gradients(
    model: PreTrainedModel,
    linears: Mapping[Linear, Accumulator],
    windows: Tensor,
    device: torch.device,
    progress: Progress,
) -> None:
    """Add the gradients of each sequence's mean loss, (out, in) fp32, to the accumulator of each linear.

    `windows` are calibration sequences, (N, L). The accumulators get tensors on the model's own device. Memory contains
    the gradients of one sequence and the logits of a few of its tokens at a time.
    """
    home = next(model.parameters()).device
    wanted = {id(linear.module.weight) for linear in linears}
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in wanted)
    move(model, device)
    try:
        progress("gradients", 0, len(windows), "")
        for index, window in enumerate(windows.split(1)):
            batch = Batch(window, torch.ones_like(window[:, 1:], dtype=torch.bool)).to(device)
            (text_loss(model, batch) / batch.counts.sum()).backward()
            for linear, accumulator in linears.items():
                accumulator.add(linear.weight.float().to(home), linear.gradient.float().to(home))
                linear.module.weight.grad = None
            progress("gradients", index + 1, len(windows), "")
    finally:
        for name, parameter in model.named_parameters():
            parameter.grad = None
            parameter.requires_grad_(before[name])
        move(model, home)
