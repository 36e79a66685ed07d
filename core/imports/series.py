"""The description of an imported variant, and the preview of an import.

Nothing is looked up by path: a model's name is an id, and its revision is that of the model of this name here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from core.amount import Amount, Pattern, Ratio
from core.base.errors import UserError
from core.fields import Details
from core.metrics import METRICS
from core.models.catalogue import BY_HUB_ID, BY_ID
from core.models.names import UNTOLD, display_names, meant_by, resolve_name
from core.results import Measurement, Result, Variant
from core.specs import DTYPES, IMPORTED, UNKNOWN, Dtype, ModelId, RatioKind, Stage, VariantSpec
from core.store.store import Store

if TYPE_CHECKING:
    from pandas import DataFrame

MOST = 1e30
# By metric: its name in errors, its minimum and its maximum.
RANGES = {
    **{one.name: (one.noun, one.ends[0], min(one.ends[1], MOST)) for one in METRICS.values() if one.imported},
    "stderr": ("standard error", 0.0, MOST),
    "version": ("version of a task", 0.0, 1e6),
}
MOST_LABEL, MOST_MODEL = 60, 100  # characters
DEFAULT_LABEL = "lm_eval"
KINDS: tuple[RatioKind, ...] = ("sparsity", "parameters")
KIND_OF: Mapping[str, RatioKind] = {"unstructured": "sparsity", "structured": "parameters"}  # of pruning by its family
ModelOf = Callable[[str], ModelId]  # returns a model by its id, which may have a revision: `ckpt@131c884a`


def check_range(name: str, value: float) -> None:
    """Raise `UserError` for a number outside the range of a metric, a `stderr` or a `version`."""
    noun, least, most = RANGES[name]
    if not least <= value <= most:  # NaN included
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)[:20]
        raise UserError(f"{shown} is not a valid {noun}; give {least:g} to {most:g}.")


@dataclass(frozen=True)
class ImportedVariant:
    """The validated description of a variant."""

    model: str
    label: str
    amount: Amount | None = None
    kind: RatioKind = "sparsity"
    dtype: str = UNKNOWN  # of the computation

    def variant(self, model_of: ModelOf, details: Details) -> Variant:
        """Return the variant; only imports have such a stage, so its key cannot equal that of a computed variant."""
        dtype: Dtype = next((known for known in DTYPES if known == self.dtype), "float32")
        model, revision = model_of(self.model)
        ratio = None if self.amount is None else self.amount.fraction
        stage = Stage(
            method=IMPORTED, ratio=ratio, ratio_kind=self.kind, amount=self.amount, parameters={"label": self.label}
        )
        stages = (stage,)
        key = VariantSpec(model=model, revision=revision, dtype=dtype, stages=stages).key
        created = datetime.now(UTC).isoformat(timespec="seconds")
        runs = ({**details, "created": created},)
        return Variant(key=key, model=model, revision=revision, dtype=dtype, stages=stages, stage_runs=runs)


@dataclass(frozen=True)
class ImportPreview:
    """The contents of files: results to store, their samples, and a sentence for each omission."""

    results: tuple[Result, ...]
    samples: tuple[tuple[str, Measurement, DataFrame], ...] = field(default=(), repr=False)
    left_out: tuple[str, ...] = ()


def model_finder(store: Store) -> ModelOf:
    """Return a function that finds a model by its id, at the revision of its catalogue wheel or stored results.

    The function raises `UserError` if stored results have several revisions and none is named.
    """
    known = [model for model in store.model_ids() if model.revision not in UNTOLD]
    names = display_names(known)

    def find(typed: str) -> ModelId:
        card = BY_ID.get(typed)
        if card and card.kind == "wheel":
            return ModelId(typed, card.file.requirement)
        if not meant_by(typed, names):
            name, _, revision = typed.partition("@")
            if revision:
                raise UserError(f"There is no result of {name} at revision {revision}; give a revision with results.")
            return ModelId(typed, UNKNOWN)
        shown = resolve_name(typed, names)
        return next(model for model in known if names[model] == shown)

    return find


def parse_series(model: str, label: str, ratio: str | None, pattern: str | None, kind: str) -> ImportedVariant:
    """Return a variant from texts; raise `UserError` for an invalid one."""
    if ratio is not None and pattern is not None:
        raise UserError("A pattern sets the ratio; give only one of them.")
    amount: Amount | None = None if pattern is None else Pattern.parse(pattern)
    known = parse_kind(kind)
    if ratio is not None:
        amount = parse_ratio(ratio)
    return ImportedVariant(parse_model(model), parse_label(label), amount, known)


def parse_model(text: str) -> str:
    """Return the id of a variant's dense model; a catalogue hub id becomes its short id."""
    card = BY_HUB_ID.get(text)
    if card:
        return card.id
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?(@[\w.:=-]+)?", text) or len(text) > MOST_MODEL:
        raise UserError(
            f"{text[:MOST_MODEL]!r} is not a model id; give up to {MOST_MODEL} letters, digits and signs of . _ -, "
            "such as smollm2-135m, org/name or ckpt@131c884a."
        )
    return text


def parse_label(text: str) -> str:
    """Return the label of a series."""
    label = text.strip()
    if not re.fullmatch(r"[\w.() -]+", label) or len(label) > MOST_LABEL or "\n" in label:
        raise UserError(
            f"{label[:MOST_LABEL]!r} is not a label; give 1 to {MOST_LABEL} letters, digits, spaces and signs of "
            ". _ - ( )."
        )
    return label


def parse_kind(text: str) -> RatioKind:
    """Return what a ratio counts, from its name or from the family of the pruning."""
    names: dict[str, RatioKind] = {kind: kind for kind in KINDS} | dict(KIND_OF)
    if text not in names:
        raise UserError(
            f"{text[:40]!r} is not a kind; give sparsity or unstructured for weights set to zero, or parameters or "
            "structured for removed weights."
        )
    return names[text]


def parse_ratio(text: str) -> Ratio:
    """Parse the removed share of weights."""
    found = float(text) if re.fullmatch(r"\d*\.?\d+", text) else -1.0
    if not 0 <= found < 1:
        raise UserError(f"{text[:20]!r} is not a ratio; give the removed share of weights, in [0, 1), such as 0.5.")
    return Ratio(found)
