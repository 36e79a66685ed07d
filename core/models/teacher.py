"""The teacher of a distillation: the dense model, or another one."""

import sys
from dataclasses import dataclass
from functools import cached_property

import torch

from core.base.errors import UserError
from core.base.progress import Progress
from core.models.facts import load_shape
from core.models.lazy import PreTrainedModel, PreTrainedTokenizerBase
from core.models.source import ModelSource
from core.models.sources import identify, identify_again, load_model, load_tokenizer


def identified_teacher(name: str) -> str:
    """Return `id@revision` of a teacher from its id, its folder, or that form itself."""
    try:
        source = identify(name)
    except UserError:
        if "@" not in name:
            raise
        source = identify(name.rpartition("@")[0])
    return f"{source.id}@{source.revision}"


def identify_teacher(name: str) -> ModelSource:
    """Return the source of a teacher from its `id@revision`; a `UserError` if the model has changed since."""
    id, _, revision = name.rpartition("@")
    source = identify_again(id, revision)
    if source.revision != revision:
        raise UserError(f"The teacher {id} is now at revision {source.revision}, not {revision}; start again.")
    return source


@dataclass
class Teacher:
    """Teacher whose model is loaded at the first access; `dtype` names the student's precision."""

    named: ModelSource | None
    dtype: str
    device: torch.device
    progress: Progress
    known_tokenizer: PreTrainedTokenizerBase | None = None  # None: loaded at the first access
    mapped: bool = False  # whether its weights are mapped from their files

    @property
    def source(self) -> ModelSource:
        if self.named is None:
            raise TypeError("The context has no dense model, which is the default teacher.")
        return self.named

    @cached_property
    def model(self) -> PreTrainedModel:
        return load_model(self.source, self.dtype, self.device, self.progress, self.mapped)

    def unload(self) -> None:
        """Release the model's memory; the next access loads the model again."""
        self.__dict__.pop("model", None)

    @property
    def max_window(self) -> int:
        """The maximum sequence length; no limit if it is unknown, as for models that cannot be compressed."""
        try:
            return load_shape(self.source).max_window
        except UserError:
            return sys.maxsize

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.known_tokenizer or load_tokenizer(self.source, self.progress)
