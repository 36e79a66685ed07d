"""Gradients of the next-token loss with respect to block linears, one calibration sequence at a time."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from core.cache.checkpoint import Checkpoint
from core.context import Context
from core.methods.linear import Accumulator
from core.models.parts.blocks import Linear, move
from core.models.parts.overflow import Overflow
from core.training.examples import Batch
from core.training.losses import recomputed, text_loss

GRADIENTS = "gradients"


class KeptGradients:
    """The states of the `accumulators` after some sequences, in the folder of the pass `name`, a file for each linear.

    `overflow` moves to disk what the accumulators restore.
    """

    def __init__(self, name: str, accumulators: Mapping[Linear, Accumulator], overflow: Overflow):
        self._checkpoint, self._accumulators, self._overflow = Checkpoint(name), accumulators, overflow

    def restore(self) -> int:
        """Restore the accumulators of an interrupted pass, and return the number of its sequences."""
        known = self._checkpoint.newest(GRADIENTS)
        if known is None:
            return 0
        done, folder = known
        for place, (linear, accumulator) in enumerate(self._accumulators.items()):
            if state := load_file(_file(folder, place)):  # none if no sequence reached the linear
                accumulator.restore(state)
                self._overflow.store(linear.name, accumulator.tensors().values())
        return done

    def keep(self, done: int) -> None:
        """Keep the accumulators after `done` sequences if it is time, and if the disk and the cache have room."""
        if not self._checkpoint.due:
            return
        with self._checkpoint.keeping():
            size = sum(tensor.nbytes for one in self._accumulators.values() for tensor in one.state().values())
            if self._checkpoint.has_room(size):
                self._checkpoint.replace(GRADIENTS, done, self._write)

    def _write(self, folder: Path) -> None:
        for place, accumulator in enumerate(self._accumulators.values()):
            state = {name: tensor.detach().cpu().contiguous() for name, tensor in accumulator.state().items()}
            save_file(state, _file(folder, place))


def _file(folder: Path, place: int) -> Path:
    return folder / f"{place}.safetensors"


def gather_gradients(
    model: PreTrainedModel,
    linears: Mapping[Linear, Accumulator],
    windows: Tensor,
    context: Context,
    name: str | None = None,
) -> None:
    """Add the gradients of each sequence's mean loss, (out, in) fp32, to the accumulator of each linear.

    `windows` are calibration sequences, (N, L). The accumulators get tensors on the model's own device. Memory contains
    the gradient of one linear and the logits of a few tokens at a time. If the model streams, each block runs again in
    the backward pass instead of storing its activations, and what the accumulators hold moves to disk. An interrupted
    pass of this `name` is resumed.
    """
    progress, home = context.progress, next(model.parameters()).device
    wanted = {id(linear.module.weight) for linear in linears}
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in wanted)
    move(model, context.device)
    overflow = Overflow(None if context.shelf is None else 0)
    kept = KeptGradients(name, linears, overflow) if name else None

    def adding(linear: Linear, accumulator: Accumulator) -> Callable[[Tensor], None]:
        def add(weight: Tensor) -> None:
            accumulator.add(linear.weight.float().to(home), linear.gradient.float().to(home))
            weight.grad = None
            overflow.store(linear.name, accumulator.tensors().values())

        return add

    try:
        with ExitStack() as hooks:
            hooks.enter_context(recomputed(model, context.shelf is not None))
            for linear, accumulator in linears.items():
                weight = linear.module.weight
                hooks.callback(weight.register_post_accumulate_grad_hook(adding(linear, accumulator)).remove)
            begun = kept.restore() if kept else 0
            progress("gradients", begun, len(windows), "")
            for index, window in enumerate(windows.split(1)[begun:], begun):
                batch = Batch(window, torch.ones_like(window[:, 1:], dtype=torch.bool)).to(context.device)
                (text_loss(model, batch) / batch.counts.sum()).backward()
                if kept:
                    kept.keep(index + 1)
                progress("gradients", index + 1, len(windows), "")
    finally:
        for name, parameter in model.named_parameters():
            parameter.grad = None
            parameter.requires_grad_(before[name])
        move(model, home)
