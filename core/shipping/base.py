"""Export formats: the files that a runtime loads, their size, and the variants that they can represent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from core.amount import Bits
from core.base.errors import UserError, echo
from core.methods.terms import NOUNS, STORED, Trait
from core.models.catalogue import BY_ID
from core.models.shape import ModelShape
from core.models.source import ModelSource
from core.registry import build_method, get_stage, leaves
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
    program: ClassVar[str] = "transformers"  # that loads its files
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


def tokenizer_file(source: ModelSource) -> Path | None:
    """Return the file with the tokens of a model; None if it has none on this machine."""
    file = source.folder and source.folder / "tokenizer.json"
    return file if file and file.is_file() else None


def tokenizer_bytes(source: ModelSource) -> int:
    """Return the bytes that the tokenizer takes in a folder; 0 if unknown, as of a hub model that is not here."""
    file, card = tokenizer_file(source), BY_ID.get(source.id)
    return file.stat().st_size if file else card.tokenizer_bytes if card else 0


class LastGrid(NamedTuple):
    """A grid as its stage declares it."""

    bits: float  # of a code; may be a mean
    group: int  # inputs that share a scale; 0: the whole row
    zeros: bool  # whether a group has a zero point, too


def last_grid(variant: Variant | VariantSpec, grid: Trait = "grid") -> LastGrid | None:
    """Return the grid of the last stage that quantises the linears, or the tables; None without one."""
    for stage in reversed(variant.stages):
        method = build_method(stage)
        if grid not in method.leaves:
            continue
        settings = method.parameters
        bits = stage.amount.bits if isinstance(stage.amount, Bits) else getattr(settings, "bits", None)
        if bits and (group := getattr(settings, "group_size", None)) is not None:
            return LastGrid(bits, group, not getattr(settings, "symmetric", False))
    return None


def grid_bytes(grid: LastGrid | None, weights: float, rows: float, each: float) -> float:
    """Return the bytes of the scales and zero points of matrices with so many weights and rows, of `each` bytes."""
    if grid is None:
        return 0.0
    return each * (1 + grid.zeros) * (weights / grid.group if grid.group else rows)


def linear_rows(shape: ModelShape, counted: Counted) -> float:
    """Return the rows of the block linears of a variant, if each lost the same share of its dense rows."""
    return sum(rows * count for rows, _, count in shape.matrices) * counted.block_weights / max(shape.block_weights, 1)


def hidden_width(variant: Variant | VariantSpec, shape: ModelShape, counted: Counted) -> int:
    """Return the width of a variant's hidden states, which narrows embeddings and norms like all that reads them."""
    if all(build_method(stage).kind != "hidden size" for stage in variant.stages):
        return shape.hidden
    others = counted.model_parameters - counted.block_weights
    return round(shape.hidden * others / (shape.parameters - shape.block_weights))
