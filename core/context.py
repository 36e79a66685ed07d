"""The context that the stages of a run share, and the input and result of one stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.progress import Progress, silent
from core.results import LayerReport, Training
from core.specs import Stage

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from core.cache.shelf import Shelf
    from core.data.windows import TextData
    from core.models.parts.blocks import Blocks
    from core.models.parts.finished import FinishedBlocks
    from core.models.source import ModelSource
    from core.models.teacher import Teacher


@dataclass(frozen=True)
class Context:
    """Context of all stages of a run; only stages that train need the dense model, a tokenizer and a teacher."""

    device: torch.device
    progress: Progress = silent
    dense: ModelSource | None = None  # the uncompressed model
    tokenizer: Any = None  # Any: None for an encoder, whose stages read no text
    shelf: Shelf | None = None  # for compressed blocks, if the model streams
    memory: int | None = None  # bytes that the process may take; None: the free memory
    teachers: dict[tuple[str | None, str], Teacher] = field(default_factory=dict)  # by name, None: dense, and dtype


@dataclass(frozen=True)
class StageInput:
    """A stage with its data and the state of the model."""

    stage: Stage
    tokens: Tensor | None = None  # calibration data, (N, L), if the stage reads it
    input_key: str | None = None  # key of the variant before the stage, under which its statistics are cached
    checkpoint: Path | None = None  # from which an interrupted training run resumes
    dense_sizes: Mapping[str, int] | None = None  # weights per block linear of the dense model; None: input is dense
    training_data: TextData | None = None  # if the stage trains
    decoder: Blocks | None = None  # the model's blocks at the start of the stage; None: of an encoder
    fraction_to_remove: float | None = None  # share of the present weights to remove; None: the stage's ratio
    finished: FinishedBlocks | None = None  # where an interrupted stage resumes; None: nowhere

    @property
    def share(self) -> float:
        """Share of the present weights that a removing stage must remove to meet its ratio."""
        return self.stage.required_ratio if self.fraction_to_remove is None else self.fraction_to_remove

    @property
    def blocks(self) -> Blocks:
        """Blocks of the model at the start of the stage."""
        if self.decoder is None:
            raise TypeError(f"{self.stage.method} needs a model with decoder blocks.")
        return self.decoder

    @property
    def calibration(self) -> Tensor:
        """Calibration data of the stage, (N, L)."""
        if self.tokens is None:
            raise TypeError(f"{self.stage.method} needs calibration data, but got none.")
        return self.tokens

    @property
    def reports(self) -> list[LayerReport]:
        """The list for the stage's reports, which then has those of restored blocks too."""
        return self.finished.reports if self.finished else []

    @property
    def examples(self) -> TextData:
        """Training data of the stage."""
        if self.training_data is None:
            raise TypeError(f"{self.stage.method} needs training data, but got none.")
        return self.training_data


@dataclass(frozen=True)
class StageResult:
    """The result of a stage, which changes the model in place."""

    reports: list[LayerReport]  # one per linear; none if the stage removes nothing
    training: Training | None = None
    note: str | None = None  # a remark on the whole stage, for readers
