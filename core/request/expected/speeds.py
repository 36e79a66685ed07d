"""Speeds of this machine in operations per second of each kind of work, from stored runs."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache, lru_cache
from itertools import accumulate, product
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np

from core.base.errors import UserError
from core.fields import Details
from core.models.facts import load_shape
from core.models.shape import ModelShape
from core.models.sources import identify_again
from core.request.expected.cost import stage_work, task_work
from core.results import Result
from core.specs import Fewshot, ModelId, RunSpec, Scalar, Stage, Task
from core.store.row_cache import RowCache
from core.store.store import Store, StoreStamp

# Operations per second if no run is stored: on a CPU, this share of the speed of a product of fp32 matrices.
CPU_SHARE, CPU_SHARE_BF16, GPU, GPU_16_BIT = 0.75, 1.05, 3e12, 15e12
CPU_INFO = Path("/proc/cpuinfo")  # of Linux
BF16_FLAGS = re.compile(r"\b(avx512_bf16|amx_bf16|bf16)\b")  # of processors that multiply bfloat16
SIDES, ROUNDS = (512, 1024, 1024), 8  # of the product, (N, K) and (K, M); about 10 ms a round on a core


class WorkKind(NamedTuple):
    """The properties of work that determine its speed on a model."""

    device: str
    kind: str
    dtype: str
    method: str
    reads: bool | None  # whether a stage read text; None for a measurement


class WorkSample(NamedTuple):
    """A piece of work with its time."""

    kind: WorkKind
    work: float  # operations
    seconds: float
    stage_run: tuple[Scalar, ...] | None = None  # identity of a run of a stage; None for a measurement


class Done(NamedTuple):
    """The total work of one kind."""

    work: float
    seconds: float


Sums = Mapping[WorkKind, Done]


def work_samples(result: Result, shape: ModelShape) -> list[WorkSample]:
    """Return the work behind a result, for a model of this shape."""
    variant, found = result.variant, []
    for stage, how in zip(variant.stages, variant.stage_runs, strict=False):
        if "training" not in how and how.get("seconds"):
            kind = WorkKind(_device(how), "compress", variant.dtype, stage.method, stage.calibration is not None)
            run = stage.method, how["seconds"], how.get("created")
            with suppress(UserError):  # this version lacks the method or a parameter
                found.append(WorkSample(kind, stage_work(shape, stage), how["seconds"], run))
    for row in result.measurements:
        if row.of_text:
            of, work = "perplexity", shape.forward(row.details.get("tokens", 0), row.protocol["window"], head=True)
        elif row.metric == "acc":
            fewshot = Fewshot.from_protocol(row.protocol.get("fewshot"))
            of, limit = "tasks", row.protocol.get("limit")
            work = task_work(shape, Task(task=row.dataset, limit=limit, fewshot=fewshot))
        else:
            continue
        kind = WorkKind(
            _device(row.details), of, row.protocol.get("dtype") or variant.dtype, variant.method, reads=None
        )
        found.append(WorkSample(kind, work, row.details.get("seconds") or 0.0))
    return found


def _device(how: Details) -> str:
    return str(how.get("device", "")).partition(" ")[0]


def sums(rows: Iterable[WorkSample]) -> dict[WorkKind, Done]:
    """Sum the work of each kind, with its time at the median speed, weighted by work.

    The median limits the influence of one run on a busy machine. A run of a stage that several variants share counts
    once.
    """
    by_kind: dict[WorkKind, list[WorkSample]] = {}
    counted: set[tuple[Scalar, ...] | None] = set()
    for row in rows:
        if row.work and row.seconds and row.stage_run not in counted:
            by_kind.setdefault(row.kind, []).append(row)
            counted |= {row.stage_run} - {None}
    found = {}
    for kind, parts in by_kind.items():
        work = sum(part.work for part in parts)
        slowest = sorted(parts, key=lambda part: part.work / part.seconds)
        cumulative = accumulate(part.work for part in slowest)
        middle = next(part for part, done in zip(slowest, cumulative, strict=True) if done >= work / 2)
        found[kind] = Done(work, work * middle.seconds / middle.work)
    return found


def shape_of(model: str, revision: str) -> ModelShape | None:
    """Return the shape of a model, or None if its files no longer exist."""
    try:
        return load_shape(identify_again(model, revision))
    except UserError:
        return None


class Speeds:
    """The speeds of work on one model, or on `others` if it has none."""

    def __init__(self, own: Sums, others: Callable[[], Sums]):
        self.known: tuple[Callable[[], Sums], ...] = (lambda: own), cache(others)

    def of(self, spec: RunSpec, kind: str, stage: Stage | None = None, dtype: str | None = None) -> float:
        """Return the operations per second of the most similar work: of the same kind, and first of the same model.

        `kind` is compress, perplexity or tasks. `stage` is the stage of the work, by default the first. `dtype` is the
        preferred precision, before the variant's, then any other.
        """
        stage, own = stage or spec.variant.stages[0], spec.variant.dtype
        # The speeds of ranking weights and of running text through blocks are unrelated.
        unlike = stage.calibration is None
        for numbers, wanted in product(dict.fromkeys((dtype or own, own, None)), (kind, "perplexity", "compress")):
            for known in self.known:
                rows = {
                    row: done
                    for row, done in known().items()
                    if (row.device, row.kind) == (spec.device, wanted)
                    and numbers in (row.dtype, None)
                    and row.reads is not unlike
                }
                similar = [done for row, done in rows.items() if row.method == stage.method] or list(rows.values())
                if similar:
                    return sum(done.work for done in similar) / sum(done.seconds for done in similar)
        precision = dtype or own
        if spec.device == "cpu":
            share = CPU_SHARE_BF16 if precision == "bfloat16" and multiplies_bf16() else CPU_SHARE
            return share * product_speed() * max(1, os.cpu_count() or 2)
        return GPU if precision == "float32" else GPU_16_BIT


@cache
def multiplies_bf16() -> bool:
    """Return whether the processor has instructions for products of bfloat16; False where the system does not say."""
    try:
        return BF16_FLAGS.search(CPU_INFO.read_text()) is not None
    except OSError:
        return False


@cache
def product_speed() -> float:
    """Return the operations per second of a product of fp32 matrices on a core of this machine.

    The least time of the processor counts, which other programs hardly change.
    """
    rows, inner, columns = SIDES
    left, right = np.ones((rows, inner), np.float32), np.ones((inner, columns), np.float32)
    seconds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        left @ right  # (N, M)
        seconds.append(time.process_time() - started)
    return 2 * rows * inner * columns / min(seconds)


@lru_cache(maxsize=4)
def history_of(store: Store) -> History:
    """Return the history of a store, cached for later calls."""
    return History(store)


class History:
    """The work behind the user's own results, cached per model and updated with changed variants."""

    def __init__(self, store: Store):
        self.store = store
        self._cache = RowCache(store, self._work)
        self._shapes: dict[ModelId, ModelShape | None] = {}
        self._sums: dict[ModelId, tuple[StoreStamp, Sums]] = {}  # with the stamp of the model's name
        self._lock = Lock()

    def speeds(self, model: ModelId) -> Speeds:
        """Return the speeds of this machine for one model."""
        return Speeds(self._of(model), lambda: self._of_others(model))

    def _of(self, model: ModelId) -> Sums:
        with self._lock:
            if any(shape_of(*one) for one, shape in self._shapes.items() if one == model and shape is None):
                self._shapes.clear()  # its files exist again
                self._sums.clear()
                self._cache = RowCache(self.store, self._work)
            if model not in self._sums or self._sums[model][0] != self.store.stamp(model.name):
                known = self._cache.of(model.name)
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

    def _work(self, result: Result, own: bool) -> tuple[ModelId, list[WorkSample]]:
        model = result.variant.model_id
        if not own or result.variant.is_external:
            return model, []
        if model not in self._shapes:
            self._shapes[model] = shape_of(*model)
        created = result.variant.details.get("created", "~")  # bundled numbers are older than the user's variant
        rows = tuple(row for row in result.measurements if row.details.get("created", "") >= created)
        shape = self._shapes[model]
        return model, work_samples(result.model_copy(update={"measurements": rows}), shape) if shape else []
