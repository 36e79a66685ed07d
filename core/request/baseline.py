"""The part of a run that is not stored yet, and the dense baseline with which its numbers are compared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from core.protocols import missing_part
from core.request.stages import build_stage
from core.results import Result
from core.specs import RunSpec
from core.store.samples import lost


class ResultLookup(Protocol):
    """A store, or results read from one."""

    def get(self, key: str, /) -> Result | None:
        """Return the stored result of a variant, or None."""


def keys_of(specs: Iterable[RunSpec]) -> set[str]:
    """Return the keys of the variants of some runs and of their dense baselines."""
    return {wanted.variant.key for spec in specs for wanted in (spec, baseline(spec)) if wanted is not None}


def remaining_run(spec: RunSpec, store: ResultLookup) -> list[RunSpec]:
    """Return the missing parts of a run and of its dense baseline.

    A number whose samples are in a damaged file counts as missing.
    """
    parts = []
    for wanted in (spec, baseline(spec)):
        if wanted is not None:
            key = wanted.variant.key
            parts.append(missing_part(wanted, None if wanted.force else store.get(key), lost))
    return [part for part in parts if part is not None]


def baseline(spec: RunSpec) -> RunSpec | None:
    """Return the dense model's run with the texts, windows and tasks of `spec`, for comparison.

    The result is None if `spec` measures nothing or the variant is the dense model.
    """
    dense = spec.variant.model_copy(update={"stages": (build_stage("dense"),)})
    if dense.key == spec.variant.key or not (spec.perplexity or spec.tasks or spec.latency):
        return None
    unsaved = {name: RunSpec.model_fields[name].default for name in ("scan", "save", "format", "precision")}
    return spec.model_copy(update={"variant": dense, **unsaved, "force": False})
