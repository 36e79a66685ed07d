"""The model that a distillation learns from: the uncompressed one, or another."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from core.errors import UserError
from core.models.facts import config_of, load_shape
from core.models.folders import encoder_of
from core.models.sources import ModelSource, identify, identify_again, load_model, load_tokenizer
from core.progress import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def identified_teacher(name: str) -> str:
    """Return `id@revision` of a teacher given by its id, its folder, or in that form already."""
    try:
        source = identify(name)
    except UserError:
        if "@" not in name:
            raise
        source = identify(name.rpartition("@")[0])
    if source.kind == "folder" and (kind := encoder_of(config_of(source))):
        raise UserError(f"{source.id} is a {kind}, and a teacher is a causal language model; name another.")
    return f"{source.id}@{source.revision}"


@dataclass
class Teacher:
    """Loads what is asked of it, once. `dtype` is the student's, by name."""

    named: ModelSource | None
    dtype: str
    device: torch.device
    progress: Progress

    @classmethod
    def of(
        cls, name: str | None, dense: ModelSource | None, dtype: str, device: torch.device, progress: Progress
    ) -> Teacher:
        """`name` is as `identified_teacher` gives it; without one the teacher is `dense`."""
        if name is None:
            return cls(dense, dtype, device, progress)
        id, _, revision = name.rpartition("@")
        source = identify_again(id, revision)
        if source.revision != revision:
            raise UserError(f"The teacher {id} is now at revision {source.revision}, not {revision}; start again.")
        return cls(source, dtype, device, progress)

    @property
    def source(self) -> ModelSource:
        if self.named is None:
            raise TypeError("There is no model to learn from.")
        return self.named

    @cached_property
    def model(self) -> PreTrainedModel:
        return load_model(self.source, self.dtype, self.device, self.progress)

    def unload(self) -> None:
        """Give the memory of the model back; asked for again, it is loaded again."""
        self.__dict__.pop("model", None)

    @property
    def max_window(self) -> int:
        """The tokens that it was made for, as far as is known: what cannot be compressed may still teach."""
        try:
            return load_shape(self.source).max_window
        except UserError:
            return sys.maxsize

    @cached_property
    def tokenizer(self) -> Any:
        return load_tokenizer(self.source, self.progress)
