"""What a format is: files that another program loads, what they take, and which variants they can hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from core.errors import unknown
from core.results import Footprint, Variant
from core.specs import FormatName, VariantSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ProgressFn = Callable[[int, int], None]  # hears how many of how many parts are written


@dataclass(frozen=True)
class Runtime:
    """A program that loads a format: a script of `core.shipping.runtimes`, and the packages that it needs."""

    script: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class WrittenExport:
    """What was written: the file or folder that a runtime loads, and what its card says of it."""

    path: Path
    loading: str  # Python that loads it, with FOLDER for where it lies
    notes: tuple[str, ...] = ()


class Format(ABC):
    """A form that variants are saved in. What it is costs no import of torch; writing it does."""

    name: ClassVar[FormatName]
    label: ClassVar[str]
    purpose: ClassVar[str]  # one sentence
    library: ClassVar[str]  # that a model card names
    runtime: ClassVar[Runtime]
    types: ClassVar[Mapping[str, str]]  # what weights may be saved in, as users write it: as it is stored

    def parse(self, text: str) -> str:
        """Return the type that users write as `text`; a `UserError` for one that the format does not have."""
        found = next((stored for name, stored in self.types.items() if name.lower() == text.lower()), None)
        if found is None:
            raise unknown(f"type of {self.label}", text, self.types)
        return found

    def type_name(self, kind: str) -> str:
        """Return how users write a type."""
        return next((name for name, stored in self.types.items() if stored == kind), kind)

    def usual_words(self, kind: str) -> str:
        """Say how far from ours the proof of a type usually is; empty where that is not known."""
        return ""

    def default(self, variant: Variant | VariantSpec) -> str:
        """Return the type that loses nothing of a variant, or least."""
        return variant.dtype

    @abstractmethod
    def size(self, variant: Variant, footprint: Footprint, kind: str) -> float:
        """Return about how many bytes a variant takes on disk."""

    @abstractmethod
    def check(self, variant: Variant | VariantSpec) -> None:
        """Raise `UserError` where the format has no form for what stages leave, or for such a model."""

    @abstractmethod
    def write(
        self, model: PreTrainedModel, tokenizer: Any, variant: Variant, folder: Path, kind: str, tell: ProgressFn
    ) -> WrittenExport:
        """Write model and tokenizer into an empty folder; the model may be brought to another precision."""
