"""What is told of a variant that was made elsewhere, and the rows of its numbers.

Nothing of it is looked up by a path: a model's name is an id, and its revision that of the model of this name here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from core.errors import UserError, unknown
from core.models.catalogue import BY_HUB_ID, BY_ID
from core.models.names import UNTOLD, display_names, meant_by, resolve_name
from core.results import Measurement, Result, Variant
from core.specs import DTYPES, IMPORTED, UNKNOWN, Dtype, ModelId, RatioKind, Stage, VariantSpec, parse_pattern
from core.store.store import Store

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_LABEL, MOST_MODEL = 60, 100  # signs
DEFAULT_LABEL = "lm_eval"
KINDS: tuple[RatioKind, ...] = ("sparsity", "parameters")

ModelOf = Callable[[str], ModelId]  # a model by its id, or its id with a revision: `ckpt@131c884a`


@dataclass(frozen=True)
class ImportedVariant:
    """A variant as it is told, its parts checked."""

    model: str
    label: str
    ratio: float | None = None
    pattern: str | None = None
    kind: RatioKind = "sparsity"
    dtype: str = UNKNOWN  # that it was computed in

    def stage(self) -> Stage:
        return Stage(
            method=IMPORTED,
            ratio=pattern_share(self.pattern) if self.pattern else self.ratio,
            ratio_kind=self.kind,
            pattern=self.pattern,
            parameters={"label": self.label},
        )

    def variant(self, model_of: ModelOf, details: dict[str, Any]) -> Variant:
        """Return the variant. Its key is that of a stage that nothing here makes, so that it takes no other's place."""
        dtype: Dtype = next((known for known in DTYPES if known == self.dtype), "float32")
        (model, revision), stages = model_of(self.model), (self.stage(),)
        key = VariantSpec(model=model, revision=revision, dtype=dtype, stages=stages).key
        created = datetime.now(UTC).isoformat(timespec="seconds")
        made = ({**details, "created": created},)
        return Variant(key=key, model=model, revision=revision, dtype=dtype, stages=stages, stage_runs=made)


@dataclass(frozen=True)
class ImportPreview:
    """What files hold: results to store, the samples behind their numbers, and a sentence for what is left out."""

    results: tuple[Result, ...]
    samples: tuple[tuple[str, Measurement, DataFrame], ...] = field(default=(), repr=False)
    left_out: tuple[str, ...] = ()


def model_finder(store: Store) -> ModelOf:
    """Return what finds a model by its id: at the revision in the catalogue's wheel, or that of its stored results.

    It raises `UserError` where results of several revisions are stored and none of them is named.
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
    """Return a variant as people tell it, in texts; a `UserError` says what is wrong and what is allowed."""
    if ratio is not None and pattern is not None:
        raise UserError("A pattern fixes the ratio; give one of both.")
    if pattern is not None:
        parse_pattern(pattern)
    known = next((one for one in KINDS if one == kind), None)
    if known is None:
        raise unknown("kind", kind, KINDS)
    share = None if ratio is None else parse_ratio(ratio)
    return ImportedVariant(parse_model(model), parse_label(label), share, pattern, known)


def parse_model(text: str) -> str:
    """Return the id of the model that a variant was made of; a catalogue's hub id becomes its short one."""
    card = BY_HUB_ID.get(text)
    if card:
        return card.id
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?(@[\w.:=-]+)?", text) or len(text) > MOST_MODEL:
        raise UserError(
            f"{text[:MOST_MODEL]!r} is no id of a model, such as smollm2-135m, org/name or ckpt@131c884a, of at most "
            f"{MOST_MODEL} letters, digits and signs of . _ -."
        )
    return text


def parse_label(text: str) -> str:
    """Return what a series is called."""
    label = text.strip()
    if not re.fullmatch(r"[\w.() -]+", label) or len(label) > MOST_LABEL or "\n" in label:
        raise UserError(
            f"{label[:MOST_LABEL]!r} is no label, which has 1 to {MOST_LABEL} letters, digits, spaces and signs of "
            ". _ - ( )."
        )
    return label


def parse_ratio(text: str) -> float:
    """Return a share of weights removed."""
    found = float(text) if re.fullmatch(r"\d*\.?\d+", text) else -1.0
    if not 0 <= found < 1:
        raise UserError(f"{text[:20]!r} is no ratio: the share of weights removed, from 0 to below 1, such as 0.5.")
    return found


def pattern_share(pattern: str) -> float:
    """Return the share of weights that an N:M pattern removes."""
    kept, group = parse_pattern(pattern)
    return 1 - kept / group
