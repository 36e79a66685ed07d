"""What the stages of a run share, what one of them is given, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.progress import Progress, silent
from core.results import LayerReport, Training
from core.specs import Stage

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from core.models.sources import ModelSource


@dataclass(frozen=True)
class Context:
    """The same for every stage of a run; what does not train needs neither the dense model nor a tokenizer."""

    device: torch.device
    progress: Progress = silent
    dense: ModelSource | None = None  # the model as it was before the first stage
    tokenizer: Any = None


@dataclass(frozen=True)
class StageInput:
    """A stage, and what it works with."""

    stage: Stage
    tokens: Tensor | None = None  # (N, L) that it is calibrated on, if it is
    input_key: str | None = None  # key of the variant that the model is; what is observed of it is kept under that
    checkpoint: Path | None = None  # where an interrupted training goes on from
    dense_sizes: Mapping[str, int] | None = (
        None  # weights of each block linear of the dense model; None: the model is that
    )
    fraction_to_remove: float | None = (
        None  # share of what is there that must go for the stage's ratio to be gone; None: the ratio
    )

    @property
    def share(self) -> float:
        """The share of what is there that must go, of a stage that removes something."""
        return self.stage.required_ratio if self.fraction_to_remove is None else self.fraction_to_remove

    @property
    def windows(self) -> Tensor:
        """The tokens (N, L) of a stage that is calibrated."""
        if self.tokens is None:
            raise TypeError(f"{self.stage.method} reads calibration text and was given none.")
        return self.tokens


@dataclass(frozen=True)
class StageResult:
    """What a stage did to a model in place."""

    reports: list[LayerReport]  # one a linear; none where the stage removes nothing
    training: Training | None = None
    reused_seconds: float = 0.0  # seconds that an interrupted run had spent on what was taken from it
    note: str | None = None  # what a reader must know of the stage as a whole
