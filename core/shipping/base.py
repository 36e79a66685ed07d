"""Export formats: the files that a runtime loads, their size, and the variants that they can represent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from core.base.errors import UserError, echo
from core.methods.traits import NOUNS, STORED, Trait
from core.models.source import ModelSource
from core.registry import get_stage, leaves
from core.results import Variant
from core.specs import VariantSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ProgressFn = Callable[[int, int], None]  # receives the number of written parts, and of all


class Counted(Protocol):
    """The weights of a variant, as a footprint counts them after its run, or as they are predicted before."""

    @property
    def block_weights(self) -> int:
        """Weights in block linears."""

    @property
    def model_parameters(self) -> int:
        """Parameters of the whole model, tied tensors once."""


@dataclass(frozen=True)
class Runtime:
    """A program that loads a format, and the packages that it needs.

    The script is the name of a file in `core.shipping.runtimes`, or a plug-in's own absolute path; without `.py`.
    """

    script: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class WrittenExport:
    """The file or folder that a runtime loads, and the texts about it on the card."""

    path: Path
    loading: str  # Python that loads it, with FOLDER for its folder
    notes: tuple[str, ...] = ()


class Format(ABC):
    """An export format. Only `write` imports torch."""

    name: ClassVar[str]
    label: ClassVar[str]
    purpose: ClassVar[str]  # one or two sentences
    library: ClassVar[str]  # named on the model card
    runtime: ClassVar[Runtime]
    types: ClassVar[Mapping[str, str]]  # of saved weights: as users write it, as it is stored
    accepts: ClassVar[frozenset[Trait]] = STORED  # traits of stages that it can represent
    remedies: ClassVar[Mapping[Trait, str]] = {}  # advice to users about the traits that it refuses

    def parse(self, text: str) -> str:
        """Return the stored type that users write as `text`; raise `UserError` for an unknown type."""
        found = next((stored for name, stored in self.types.items() if name.lower() == text.lower()), None)
        if found is None:
            raise UserError(f"{self.label} has no type {echo(text)}; choose one of {', '.join(self.types)}.")
        return found

    def type_name(self, kind: str) -> str:
        """Return a type as users write it."""
        return next((name for name, stored in self.types.items() if stored == kind), kind)

    def usual_words(self, kind: str) -> str:
        """Describe the usual difference that the export check finds for a type; empty if unknown."""
        return ""

    def default(self, variant: Variant | VariantSpec) -> str:
        """Return the type that loses least of a variant."""
        return variant.dtype

    @abstractmethod
    def size(self, variant: Variant | VariantSpec, source: ModelSource, counted: Counted, kind: str) -> float:
        """Return the approximate bytes of a variant of the model in `source` on disk, its tokenizer included."""

    def check(self, variant: Variant | VariantSpec, source: ModelSource) -> None:
        """Raise `UserError` if the format cannot represent the variant, or the model in `source`."""
        for stage in variant.stages:
            for trait in sorted(leaves(stage) - self.accepts):
                remedy = self.remedies.get(trait, "leave this stage out")
                raise UserError(
                    f"{self.label} does not support the {NOUNS[trait]} of {get_stage(stage.method).label}; {remedy}."
                )

    @abstractmethod
    def write(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        source: ModelSource,
        folder: Path,
        kind: str,
        progress: ProgressFn,
    ) -> WrittenExport:
        """Write model and tokenizer into an empty folder; this may change the precision of the model."""
