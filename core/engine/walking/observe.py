"""Observations of the whole model before a stage: the gradients of its linears, and those of a structured method."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.cache.checkpoint import Checkpoint
from core.cache.observations import Tensors, observed
from core.context import Context, StageInput
from core.engine.walking.walker import Walker, make_walker
from core.methods.cost import SUMS
from core.methods.linear import Accumulator, Statistics
from core.methods.structured.base import StructuredBlockView, StructuredMethod
from core.models.parts.blocks import Blocks, Linear, move
from core.models.parts.finished import KeptBlocks
from core.models.parts.overflow import Overflow
from core.models.removal.geometry import Mode
from core.models.removal.units import find_units, whole_block
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


class KeptObservations(KeptBlocks):
    """The observations of the blocks that the pass `name` has left, in one file with the states after them.

    `tensors` receives what an interrupted pass observed: tensors that exist are filled.
    """

    def __init__(self, name: str, tensors: Tensors):
        self._checkpoint, self._tensors = Checkpoint(name), tensors

    def restore(self, blocks: Blocks) -> tuple[int, list[Tensor]]:
        count, states, observed = self._checkpoint.restore_states()
        if not observed:  # of an earlier version
            return 0, []
        for name, tensor in observed.items():
            self._tensors.setdefault(name, torch.empty_like(tensor)).copy_(tensor)
        return count, states

    def begin(self, index: int, block: nn.Module) -> None:
        """Do nothing, as the pass changes no block."""

    def keep(self, blocks: Blocks, index: int, states: Sequence[Tensor], at_once: bool) -> bool:
        """Keep the observations up to a block and the states after it, if it is time and there is room."""
        if not self._checkpoint.due:
            return False
        if not self._checkpoint.has_room(sum(tensor.nbytes for tensor in (*states, *self._tensors.values()))):
            return False
        with self._checkpoint.keeping():
            self._checkpoint.write_states(index, states, self._tensors)
        return True


def collect_block_views(
    model: PreTrainedModel, method: StructuredMethod, given: StageInput, context: Context, mode: Mode = "auto"
) -> list[StructuredBlockView]:
    """Build a view of each block, with the method's observations if the stage removes anything.

    `mode` tells how attention shrinks. Raises `UserError` for blocks from which no units can be removed.
    """
    blocks = given.blocks
    whole = method.observes == "similarity" and not method.modifies  # it needs no heads and channels
    views = [
        StructuredBlockView(whole_block(blocks, index) if whole else find_units(blocks, index, mode))
        for index in range(len(blocks.holder))
    ]
    if given.share and method.observations:
        statistics = ModelStatistics(model, method, blocks, views, given.calibration, context)
        statistics.take(observed(given.input_key, given.stage, method.observations, statistics.tensors))
    return views


@dataclass
class ModelStatistics:
    """Observations of a model before the stage, and the block views that receive them."""

    model: PreTrainedModel
    method: StructuredMethod
    blocks: Blocks
    views: Sequence[StructuredBlockView]
    windows: Tensor
    context: Context

    def tensors(self, name: str | None) -> Tensors:
        """Observe the model and return tensors by name, on its device; resume an interrupted pass of this `name`."""
        if self.method.observes == "gradients":
            return self._gradients(name)
        return self._statistics(name) if self.method.observes == "statistics" else self._similarities(name)

    def take(self, tensors: Tensors) -> None:
        """Fill the views with observed tensors, new or cached."""
        for index, view in enumerate(self.views):
            if self.method.observes == "similarity":
                view.similarity = tensors["similarity"][index].item()
                continue
            for role, linear in view.units.linears.items():
                own = {
                    name.rpartition(" ")[2]: tensor.to(linear.weight.device)
                    for name, tensor in tensors.items()
                    if name.startswith(f"{linear.name} ")
                }
                if self.method.observes == "gradients":
                    view.gradients[role] = own
                else:
                    view.inputs[role] = Statistics(
                        self.windows.numel(), {name: own[name] for name in SUMS if name in own}
                    )

    def _gradients(self, name: str | None) -> Tensors:
        accumulators = {
            linear: self.method.accumulator(view, role)
            for view in self.views
            for role, linear in view.units.linears.items()
        }
        gather_gradients(self.model, accumulators, self.windows, self.context, name)
        return {
            f"{linear.name} {kind}": tensor
            for linear, accumulator in accumulators.items()
            for kind, tensor in accumulator.tensors().items()
        }

    def _statistics(self, name: str | None) -> Tensors:
        tensors: Tensors = {}

        def copy(linear: Linear, statistics: Statistics, sample: Tensor | None) -> None:
            for name, value in statistics.sums.items():
                tensors[f"{linear.name} {name}"] = value.to(self.model.device, copy=True)  # q, k and v share theirs
            self.context.progress("observe", linear.block + 1, len(self.views), linear.name)

        self.context.progress("observe", 0, len(self.views), "")
        self._walker(name, tensors).walk(self._linears, copy)
        return tensors

    def _similarities(self, name: str | None) -> Tensors:
        """Compute the mean cosine similarity over tokens of each block's input and output, (blocks,) fp64."""
        totals = {str(index): torch.zeros((), dtype=torch.float64) for index in range(len(self.views))}

        def compare(index: int, inputs: Tensor, outputs: Tensor) -> None:
            cosines = torch.nn.functional.cosine_similarity(inputs.float(), outputs.float(), dim=-1)
            totals[str(index)] += cosines.double().sum().cpu()
            self.context.progress("observe", index + 1, len(totals), "")

        self.context.progress("observe", 0, len(totals), "")
        self._walker(name, totals).observe(compare)
        return {"similarity": torch.stack(list(totals.values())) / self.windows.numel()}

    def _walker(self, name: str | None, tensors: Tensors) -> Walker:
        return make_walker(
            self.model,
            self.blocks,
            self.windows,
            self.method.sums,
            self.context,
            self._linears,
            observes=True,
            finished=KeptObservations(name, tensors) if name else None,
        )

    @property
    def _linears(self) -> list[Linear]:
        return [linear for view in self.views for linear in view.units.linears.values()]
