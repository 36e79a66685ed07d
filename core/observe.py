"""What a structured method wants to know of the whole model before it plans: gradients, sums of inputs, similarities.

They depend on the model, the calibration text and the kind of observation, and not on the ratio, so they are kept in
the user cache: the points of a curve share them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.calibration import Walker
from core.compress import make_walker
from core.gradients import gather_gradients
from core.kept import keep
from core.methods.base import Needs, Statistics
from core.methods.structured.base import Structured, View
from core.models.blocks import Blocks, Linear
from core.paths import cache_dir
from core.progress import Progress
from core.specs import Stage, canonical_json, sha256

VERSION = 1  # of what the tensors mean
FILE = "observed.safetensors"

Tensors = dict[str, Tensor]


def observed(before: str | None, stage: Stage, kinds: Sequence[str], observe: Callable[[], Tensors]) -> Tensors:
    """Return `observe()`, or what was observed of this model and text before, if any of these `kinds` was.

    The first kind is what `observe` gives.
    `before` is the key of the variant that is observed; without one nothing is kept.
    """
    if before is None:
        return observe()
    what = {"version": VERSION, "calibration": str(stage.calibration), "seed": stage.seed}
    root = cache_dir() / "observed"
    folders = [root / sha256(before, canonical_json(what | {"kind": kind})) for kind in kinds]
    for folder in folders:
        if (found := _load(folder)) is not None:
            return found
    tensors = observe()
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    keep(folders[0], size, lambda place: save_file(tensors, place / FILE))
    return tensors


def _load(folder: Path) -> Tensors | None:
    """Return the kept tensors; None where there are none, or they cannot be read."""
    try:
        tensors = load_file(folder / FILE)
        os.utime(folder)
    except (OSError, SafetensorError):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return tensors


@dataclass
class Look:
    """Finds out what a method wants to know of the dense model, and fills its views with it."""

    model: nn.Module
    method: Structured
    blocks: Blocks
    views: Sequence[View]
    windows: Tensor
    device: torch.device
    progress: Progress

    def tensors(self) -> Tensors:
        """Observe the model; return tensors on its device by name."""
        if self.method.observes == "gradients":
            return self._gradients()
        return self._statistics() if self.method.observes == "statistics" else self._similarities()

    def take(self, tensors: Tensors) -> None:
        """Fill the views with what was observed, now or earlier."""
        for index, view in enumerate(self.views):
            if self.method.observes == "similarity":
                view.similarity = tensors["similarity"][index].item()
                continue
            for role, linear in view.units.linears.items():
                of = {
                    name.rpartition(" ")[2]: tensor.to(linear.weight.device)
                    for name, tensor in tensors.items()
                    if name.startswith(f"{linear.name} ")
                }
                if self.method.observes == "gradients":
                    view.gradients[role] = of
                else:
                    view.inputs[role] = Statistics(self.windows.numel(), of["sqnorm"], total=of["total"])

    def _gradients(self) -> Tensors:
        accumulators = {
            linear: self.method.accumulator(view, role)
            for view in self.views
            for role, linear in view.units.linears.items()
        }
        gather_gradients(self.model, accumulators, self.windows, self.device, self.progress)
        return {
            f"{linear.name} {name}": tensor
            for linear, accumulator in accumulators.items()
            for name, tensor in accumulator.tensors().items()
        }

    def _statistics(self) -> Tensors:
        found: Tensors = {}

        def note(linear: Linear, statistics: Statistics, sample: Tensor) -> None:
            for name, value in (("sqnorm", statistics.sqnorm), ("total", statistics.total)):
                found[f"{linear.name} {name}"] = value.to(self.model.device, copy=True)  # q, k and v share theirs
            self.progress("observe", linear.block + 1, len(self.views), linear.name)

        self._walker(self.method.needs_of).walk(self._linears, note)
        return found

    def _similarities(self) -> Tensors:
        """The mean cosine over tokens between what goes into each block and what comes out, (blocks,), fp64."""
        totals = [0.0] * len(self.views)

        def look(index: int, inputs: Tensor, outputs: Tensor) -> None:
            cosines = torch.nn.functional.cosine_similarity(inputs.float(), outputs.float(), dim=-1)
            totals[index] += cosines.double().sum().item()
            self.progress("observe", index + 1, len(totals), "")

        self._walker(lambda role: "nothing").observe(look)
        return {"similarity": torch.tensor(totals, dtype=torch.float64) / self.windows.numel()}

    def _walker(self, needs: Callable[[str], Needs]) -> Walker:
        return make_walker(self.model, self.blocks, self.windows, needs, self.device, self._linears)

    @property
    def _linears(self) -> list[Linear]:
        return [linear for view in self.views for linear in view.units.linears.values()]
