"""Observation of the whole model for a structured method, before it plans."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.cache.checkpoint import Checkpoint
from core.cache.observations import Tensors, observed
from core.context import Context, StageInput
from core.engine.walking.gradients import gather_gradients
from core.engine.walking.walker import Walker, make_walker
from core.methods.cost import SUMS
from core.methods.linear import Statistics
from core.methods.structured.base import StructuredBlockView, StructuredMethod
from core.models.parts.blocks import Blocks, Linear
from core.models.parts.finished import KeptBlocks
from core.models.removal.geometry import Mode
from core.models.removal.units import find_units, whole_block


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
