"""How fast this machine works: operations a second of each kind of work, from stored runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import accumulate, product
from threading import Lock
from typing import Any, NamedTuple

from core.errors import UserError
from core.models.facts import load_shape
from core.models.shape import ModelShape
from core.models.sources import identify_again
from core.request.cost import stage_work, task_work
from core.results import Result
from core.specs import Fewshot, ModelId, RunSpec, Stage, Task
from core.store.row_cache import RowCache
from core.store.store import Store

# Operations a second where nothing was measured yet.
CPU_CORE, GPU, GPU_16_BIT = 30e9, 3e12, 15e12


class WorkKind(NamedTuple):
    """What tells work whose speed is one from other work of a model."""

    device: str
    kind: str
    dtype: str
    method: str
    reads: bool | None  # whether a stage read a text; None for a measurement


class WorkSample(NamedTuple):
    """Work that was done, and how long it took."""

    kind: WorkKind
    work: float  # operations
    seconds: float
    stage_runs: tuple[Any, ...] | None = None  # what tells the making of one stage from another


class Done(NamedTuple):
    """All work of a kind together."""

    work: float
    seconds: float


Sums = Mapping[WorkKind, Done]


def own_numbers(result: Result) -> Result:
    """Return a result of the user's own without the shipped numbers beside it.

    A number can be no older than the variant it was measured on.
    """
    made = result.variant.details.get("created", "~")
    rows = tuple(row for row in result.measurements if row.details.get("created", "") >= made)
    return result.model_copy(update={"measurements": rows})


def work_samples(result: Result, shape: ModelShape) -> list[WorkSample]:
    """Return the work of a result of a model of this shape."""
    variant, found = result.variant, []

    def see(kind: str, dtype: str, method: str, reads: bool | None, work: float, how: dict, told: Any = None) -> None:
        device = how.get("device", "").partition(" ")[0]
        found.append(WorkSample(WorkKind(device, kind, dtype, method, reads), work, how.get("seconds") or 0.0, told))

    for stage, how in zip(variant.stages, variant.stage_runs, strict=False):
        if "training" not in how and how.get("seconds"):
            try:
                work = stage_work(shape, stage)
            except UserError:  # a method or a parameter that this version does not have
                continue
            told = stage.method, how["seconds"], how.get("created")
            see("compress", variant.dtype, stage.method, stage.calibration is not None, work, how, told)
    for row in result.measurements:
        dtype = row.protocol.get("dtype") or variant.dtype
        if row.of_text:
            work = shape.forward(row.details.get("tokens", 0), row.protocol["window"], head=True)
            see("perplexity", dtype, variant.method, None, work, row.details)
        elif row.metric == "acc":
            shots = Fewshot.from_protocol(row.protocol.get("fewshot"))
            work = task_work(shape, Task(task=row.dataset, limit=row.protocol.get("limit"), fewshot=shots))
            see("tasks", dtype, variant.method, None, work, row.details)
    return found


def sums(rows: Iterable[WorkSample]) -> dict[WorkKind, Done]:
    """Return all work of each kind, in the time that it takes at the speed which half of it was done slower than.

    So that one run on a busy machine moves what is expected of the next by little.
    """
    found = {}
    for kind, parts in _by_kind(rows).items():
        work = sum(part.work for part in parts)
        slowest = sorted(parts, key=lambda part: part.work / part.seconds)
        reached = accumulate(part.work for part in slowest)
        middle = next(part for part, done in zip(slowest, reached, strict=True) if done >= work / 2)
        found[kind] = Done(work, work * middle.seconds / middle.work)
    return found


def _by_kind(rows: Iterable[WorkSample]) -> dict[WorkKind, list[Done]]:
    """Return the work of each kind; a stage that several variants were made by way of counts once."""
    found: dict[WorkKind, list[Done]] = {}
    counted: set[tuple[Any, ...]] = set()
    for row in rows:
        if row.stage_runs is not None:
            if row.stage_runs in counted:
                continue
            counted.add(row.stage_runs)
        if row.work and row.seconds:
            found.setdefault(row.kind, []).append(Done(row.work, row.seconds))
    return found


def shape_of(model: str, revision: str) -> ModelShape | None:
    """Return the shape of a model; None where its files are gone, while its numbers stay."""
    try:
        return load_shape(identify_again(model, revision))
    except UserError:
        return None


class Speeds:
    """The speeds of what was done on one model, and where that tells nothing, on `others`."""

    def __init__(self, own: Sums, others: Callable[[], Sums]):
        self.known = (lambda: own), others

    def of(self, spec: RunSpec, kind: str, stage: Stage | None = None, dtype: str | None = None) -> float:
        """Return operations a second over the likest work: of this kind before others, of this model before others.

        `stage` is the one that is asked about, by default the first; `dtype`, by default the variant's, comes before
        the variant's.
        """
        stage, own = stage or spec.variant.stages[0], spec.variant.dtype
        # Ranking weights says nothing of the speed of running text through blocks, nor the other way round.
        unlike = stage.calibration is None
        for numbers, wanted in product(dict.fromkeys((dtype or own, own)), (kind, "perplexity", "compress")):
            for known in self.known:
                rows = {
                    row: done
                    for row, done in known().items()
                    if (row.device, row.dtype, row.kind) == (spec.device, numbers, wanted) and row.reads is not unlike
                }
                likest = [done for row, done in rows.items() if row.method == stage.method] or list(rows.values())
                if likest:
                    return sum(done.work for done in likest) / sum(done.seconds for done in likest)
        if spec.device == "cpu":
            return CPU_CORE * max(1, (os.cpu_count() or 2))
        return GPU if (dtype or own) == "float32" else GPU_16_BIT


@lru_cache(maxsize=4)
def history_of(store: Store) -> History:
    """Return what was done on this machine, kept as long as the store is looked at."""
    return History(store)


class History:
    """The work behind the user's own results: read by model, again only where a variant has changed."""

    def __init__(self, store: Store):
        self.store = store
        self._kept = RowCache(store, self._seen)
        self._shapes: dict[ModelId, ModelShape | None] = {}
        self._sums: dict[ModelId, tuple[tuple, Sums]] = {}  # with the stamp of its name
        self._lock = Lock()

    def speeds(self, model: ModelId) -> Speeds:
        """Return the speeds of this machine, beside those of one model."""
        return Speeds(self._of(model), lambda: self._of_others(model))

    def _of(self, model: ModelId) -> Sums:
        with self._lock:
            if any(shape_of(*one) for one, shape in self._shapes.items() if one == model and shape is None):
                self._shapes.clear()  # its files are there again
                self._sums.clear()
                self._kept = RowCache(self.store, self._seen)
            if model not in self._sums or self._sums[model][0] != self.store.stamp(model.name):
                known = self._kept.of(model.name)
                rows = (row for of, rows in known.values.values() if of == model for row in rows)
                self._sums[model] = known.stamp, sums(rows)
            return self._sums[model][1]

    def _of_others(self, model: ModelId) -> Sums:
        found: dict[WorkKind, Done] = {}
        for other in self.store.model_ids():
            for kind, done in self._of(other).items() if other != model else ():
                work, seconds = found.get(kind, Done(0.0, 0.0))
                found[kind] = Done(work + done.work, seconds + done.seconds)
        return found

    def _seen(self, result: Result, own: bool) -> tuple[ModelId, list[WorkSample]]:
        model = result.variant.model_id
        if not own or result.variant.is_external:
            return model, []
        if model not in self._shapes:
            self._shapes[model] = shape_of(*model)
        shape = self._shapes[model]
        return model, list(_compact(work_samples(own_numbers(result), shape))) if shape else []


def _compact(rows: list[WorkSample]) -> Iterable[WorkSample]:
    """Return the measurements of one result with those of a kind together."""
    yield from (row for row in rows if row.stage_runs is not None)
    for kind, parts in _by_kind(row for row in rows if row.stage_runs is None).items():
        yield WorkSample(kind, sum(part.work for part in parts), sum(part.seconds for part in parts))
