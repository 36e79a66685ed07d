"""What is left to run of a wish: the run itself, and the dense model's numbers that its own are compared with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from core.protocols import missing_part
from core.request.stages import build_stage
from core.results import Result
from core.specs import RunSpec
from core.store.samples import lost


class ResultLookup(Protocol):
    """A store, or the results that were read of one."""

    def get(self, key: str, /) -> Result | None:
        """Return all that is known of a variant."""


def keys_of(specs: Iterable[RunSpec]) -> set[str]:
    """Return the keys of all that `left` asks for of some runs: of their variants and of their dense baselines."""
    return {wanted.variant.key for spec in specs for wanted in (spec, baseline(spec)) if wanted is not None}


def remaining_run(spec: RunSpec, store: ResultLookup) -> list[RunSpec]:
    """Return what the store does not have yet: the part of the run itself, and that of its dense baseline.

    A number whose samples are in a damaged file is measured again.
    """
    parts = []
    for wanted in (spec, baseline(spec)):
        if wanted is not None:
            key = wanted.variant.key
            parts.append(missing_part(wanted, None if wanted.force else store.get(key), lost))
    return [part for part in parts if part is not None]


def baseline(spec: RunSpec) -> RunSpec | None:
    """Return the run of the dense model that the numbers of `spec` are compared with: same texts, windows and tasks.

    None where nothing is measured, or the model is the dense one.
    """
    dense = spec.variant.model_copy(update={"stages": (build_stage("dense"),)})
    if dense.key == spec.variant.key or not (spec.perplexity or spec.tasks or spec.latency):
        return None
    unsaved = {name: RunSpec.model_fields[name].default for name in ("scan", "save", "format", "precision")}
    return spec.model_copy(update={"variant": dense, **unsaved, "force": False})
