"""How long a run will take and how much memory it needs, before it starts; imports no torch.

Work is counted in floating-point operations from the model's shape and the tokens to run, and divided by the speed
that stored runs of this machine reached. Where there are none, by a cautious one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from core.errors import UserError
from core.models.facts import facts
from core.models.shape import ModelFacts
from core.models.sources import identify_again
from core.paths import kept_variant
from core.registry import made
from core.request.baseline import left
from core.request.cost import perplexity_work, task_work
from core.results import Result
from core.specs import BYTES, Frozen, RunSpec, Stage, Task, VariantSpec
from core.training.base import TrainingMethod

if TYPE_CHECKING:
    from core.store.store import Store

# Operations a second where nothing was measured yet.
CPU_CORE, GPU, GPU_16_BIT = 30e9, 3e12, 15e12
START_SECONDS = 10  # importing the libraries
LOAD_BYTES = 500e6  # a second
FETCH_BYTES = 5e6  # a second
PROCESS_BYTES = 800e6  # of the libraries
LATENCY_TOKENS = 8 * 2 * 512 * (1 + 4)  # read by the latency measurement: repeats, twice, prompt, both batches
LATENCY_STEPS = 8 * 32 * 2  # decoding steps, each reading all weights once
MEMORY_RATE = 5e9  # bytes a second


class Estimate(Frozen):
    seconds: float
    bytes: int  # memory of the process at its peak
    # Seconds of each stage that is reported, of its longest round where it has several; "" is the start.
    stages: dict[str, float] = {}


def history(store: Store) -> list[Result]:
    """Return what was measured on this machine: the user's own results, without the shipped numbers beside them."""
    local = store.local_keys()
    return [
        result.model_copy(
            update={
                "measurements": tuple(
                    # A number can be no older than the variant it was measured on.
                    row
                    for row in result.measurements
                    if row.details.get("created", "") >= result.variant.details.get("created", "~")
                )
            }
        )
        for result in store.results()
        if result.variant.key in local and not result.variant.imported
    ]


def kept_stages(variant: VariantSpec) -> int:
    """Return how many of a variant's first stages need not be made again, as the model after them is in the cache."""
    counts = range(len(variant.stages), 0, -1)
    return next((count for count in counts if kept_variant(variant.prefixes[count].key).is_dir()), 0)


def estimate_left(specs: Sequence[RunSpec], store: Store) -> Estimate:
    """Return what all takes that the store does not have yet of some runs; a baseline that they share counts once."""
    results, stored = history(store), store.read().results
    parts = {part.model_dump_json(): part for spec in specs for part in left(spec, stored)}
    found = [estimate(part, results) for part in parts.values()]
    return Estimate(
        seconds=sum(one.seconds for one in found),
        bytes=max((one.bytes for one in found), default=0),
        stages=_longest(row for one in found for row in one.stages.items()),
    )


def estimate(spec: RunSpec, results: Sequence[Result] = ()) -> Estimate:
    """Return what making the variant and measuring all of `spec` takes; `results` is this machine's `history`.

    Stages count from the longest prefix on that is kept in the cache.
    """
    stages = spec.variant.stages if spec.force else spec.variant.stages[kept_stages(spec.variant) :]
    source = identify_again(spec.variant.model, spec.variant.revision)
    shape = facts(source)
    size = shape.parameters * BYTES[spec.variant.dtype]
    rows = [("", START_SECONDS), ("load", size / LOAD_BYTES)]
    if source.folder is None:
        rows.append(("download", shape.parameters * 2 / FETCH_BYTES))
    speeds = _Speeds(spec, results)
    for stage in stages:
        method = made(stage)
        if isinstance(method, TrainingMethod):
            training = method.cost(shape, stage.calibration) / speeds.of("perplexity")
            rows.append(("train", min(training, 60 * method.minutes)))
            if stage.calibration and (steps := method.answers(stage.calibration)):
                rows.append(("answers", steps * size / MEMORY_RATE))
        else:
            seconds = method.cost(shape, stage.calibration) / speeds.of("compress", stage)
            rows.append((method.tells_first, seconds))
    for wanted in spec.perplexity:
        rows.append(("perplexity", perplexity_work(shape, wanted) / speeds.of("perplexity")))
    if spec.tasks:
        work = sum(task_work(shape, task) for task in spec.tasks)
        rows.append(("tasks", work / speeds.of("tasks", dtype=spec.scoring_dtype)))
    if spec.latency:
        seconds = shape.forward(LATENCY_TOKENS, 512) / speeds.of("perplexity") + LATENCY_STEPS * size / MEMORY_RATE
        rows.append(("latency", seconds))
    item = BYTES[spec.variant.dtype]
    held = [made(stage).memory(shape, stage.calibration, item) for stage in stages]
    if spec.tasks and spec.scoring_dtype != spec.variant.dtype:
        held.append(shape.parameters * BYTES[spec.scoring_dtype])  # the weights in it, beside the variant's own
    most = max(held, default=0)
    return Estimate(
        seconds=sum(seconds for _, seconds in rows), bytes=round(PROCESS_BYTES + size + most), stages=_longest(rows)
    )


def _longest(rows: Iterable[tuple[str, float]]) -> dict[str, float]:
    longest: dict[str, float] = {}
    for stage, seconds in rows:
        longest[stage] = max(seconds, longest.get(stage, 0.0))
    return longest


class _Seen(NamedTuple):
    """Work that was done on this machine, and how long it took."""

    kind: str
    dtype: str
    model: str
    method: str
    reads: bool | None  # whether a stage read a text; None for a measurement
    work: float  # operations
    seconds: float


class _Speeds:
    """Operations a second of each kind of work, from stored rows of the same device, the likest first."""

    def __init__(self, spec: RunSpec, results: Sequence[Result]):
        self.spec = spec
        self.shapes: dict[tuple[str, str], ModelFacts | None] = {}
        self.seen: list[_Seen] = []
        self.told: set[tuple[Any, ...]] = set()  # what tells the making of one stage from another
        for result in results:
            if shape := self._shape(result.variant.model, result.variant.revision):
                self._add(result, shape)

    def _shape(self, model: str, revision: str) -> ModelFacts | None:
        if (model, revision) not in self.shapes:
            try:
                self.shapes[model, revision] = facts(identify_again(model, revision))
            except UserError:  # its files may be gone; the numbers stay
                self.shapes[model, revision] = None
        return self.shapes[model, revision]

    def _add(self, result: Result, shape: ModelFacts) -> None:
        variant = result.variant
        for stage, circumstances in zip(variant.stages, variant.made, strict=False):
            if "training" not in circumstances and circumstances.get("seconds"):
                try:
                    work = made(stage).cost(shape, stage.calibration)
                except UserError:  # a method or a parameter that this version does not have
                    continue
                told = stage.method, circumstances["seconds"], circumstances.get("created")
                if told in self.told:  # by another variant that is made by way of the same one
                    continue
                self.told.add(told)
                reads = stage.calibration is not None
                self._see("compress", variant.dtype, variant.model, stage.method, reads, work, circumstances)
        for row in result.measurements:
            dtype = row.protocol.get("dtype") or variant.dtype
            if row.of_text:
                work = shape.forward(row.details.get("tokens", 0), row.protocol["window"], head=True)
                self._see("perplexity", dtype, variant.model, variant.method, None, work, row.details)
            elif row.metric == "acc":
                work = task_work(shape, Task(task=row.dataset, limit=row.protocol.get("limit")))
                self._see("tasks", dtype, variant.model, variant.method, None, work, row.details)

    def _see(
        self,
        kind: str,
        dtype: str,
        model: str,
        method: str,
        reads: bool | None,
        work: float,
        circumstances: dict[str, Any],
    ) -> None:
        seconds, device = circumstances.get("seconds"), circumstances.get("device", "").partition(" ")[0]
        if work and seconds and device == self.spec.device:
            self.seen.append(_Seen(kind, dtype, model, method, reads, work, seconds))

    def of(self, kind: str, stage: Stage | None = None, dtype: str | None = None) -> float:
        """Return the speed over the likest rows: of this kind of work before others, of this model before others.

        `stage` is the one that is asked about, by default the first; `dtype`, by default the variant's, comes before
        the variant's.
        """
        stage, own = stage or self.spec.variant.stages[0], self.spec.variant.dtype

        def likeness(row: _Seen) -> tuple[bool, bool]:
            return row.model == self.spec.variant.model, row.method == stage.method

        for numbers, wanted in product(dict.fromkeys((dtype or own, own)), (kind, "perplexity", "compress")):
            # Ranking weights says nothing of the speed of running text through blocks, nor the other way round.
            unlike = stage.calibration is None
            rows = [r for r in self.seen if (r.dtype, r.kind) == (numbers, wanted) and r.reads is not unlike]
            if rows:
                best = max(map(likeness, rows))
                likest = [row for row in rows if likeness(row) == best]
                return sum(row.work for row in likest) / sum(row.seconds for row in likest)
        if self.spec.device == "cpu":
            return CPU_CORE * max(1, (os.cpu_count() or 2))
        return GPU if (dtype or own) == "float32" else GPU_16_BIT
