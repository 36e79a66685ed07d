"""How long a run will take and how much memory it needs, before it starts; imports no torch.

Work is counted in floating-point operations from the model's shape and the tokens to run, and divided by the speed
that stored runs of this machine reached. Where there are none, by a cautious one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from core.models.facts import load_shape
from core.models.sources import identify_again
from core.paths import cached_variant
from core.registry import build_method
from core.request.baseline import keys_of, remaining_run
from core.request.cost import perplexity_work, prompts_work, scan_work, stage_work, task_work
from core.request.speeds import Speeds, history_of
from core.specs import BYTES, ZERO_SHOT, Frozen, RunSpec, VariantSpec
from core.training.base import TrainingMethod

if TYPE_CHECKING:
    from core.store.store import Store

START_SECONDS = 10  # importing the libraries
LOAD_BYTES = 500e6  # a second
FETCH_BYTES = 5e6  # a second
PROCESS_BYTES = 800e6  # of the libraries
LATENCY_TOKENS = 8 * 2 * 512 * (1 + 4)  # read by the latency measurement: repeats, twice, prompt, both batches
LATENCY_STEPS = 8 * 32 * 2  # decoding steps, each reading all weights once
MEMORY_RATE = 5e9  # bytes a second


class Estimate(Frozen):
    seconds: float
    bytes: int  # memory at its peak, of the process and of the one that reads what is saved
    # Seconds of each stage that is reported, of its longest round where it has several; "" is the start.
    stages: dict[str, float] = {}


def cached_stages(variant: VariantSpec) -> int:
    """Return how many of a variant's first stages need not be made again, as the model after them is in the cache."""
    counts = range(len(variant.stages), 0, -1)
    return next((count for count in counts if cached_variant(variant.prefixes[count].key).is_dir()), 0)


def estimate_left(specs: Sequence[RunSpec], store: Store) -> Estimate:
    """Return what all takes that the store does not have yet of some runs; a baseline that they share counts once."""
    speeds = lru_cache(history_of(store).speeds)  # a question of the store for each model
    stored = store.get_many(keys_of(specs))
    parts = {part.model_dump_json(): part for spec in specs for part in remaining_run(spec, stored)}
    found = [
        estimate(part, speeds(part.variant.model_id), stored.get(part.variant.key) is not None)
        for part in parts.values()
    ]
    return Estimate(
        seconds=sum(one.seconds for one in found),
        bytes=max((one.bytes for one in found), default=0),
        stages=_longest(row for one in found for row in one.stages.items()),
    )


def estimate(spec: RunSpec, speeds: Speeds, stored: bool = False) -> Estimate:
    """Return what making the variant and measuring all of `spec` takes at the speeds of this machine.

    Stages count from the longest prefix on that is kept in the cache; none where the variant is `stored` and not asked.
    """
    stages = spec.variant.stages if spec.force else spec.variant.stages[cached_stages(spec.variant) :]
    if stored and spec.only_scans:
        stages = ()
    source = identify_again(spec.variant.model, spec.variant.revision)
    shape = load_shape(source)
    size = shape.parameters * BYTES[spec.variant.dtype]
    rows = [("", START_SECONDS), ("load", size / LOAD_BYTES)]
    if source.folder is None:
        rows.append(("download", shape.parameters * 2 / FETCH_BYTES))
    for stage in stages:
        method = build_method(stage)
        if isinstance(method, TrainingMethod):
            training = method.cost(shape, stage.calibration) / speeds.of(spec, "perplexity")
            rows.append(("train", min(training, 60 * method.minutes)))
            if stage.calibration and (steps := method.answers(stage.calibration)):
                rows.append(("answers", steps * size / MEMORY_RATE))
        else:
            seconds = stage_work(shape, stage) / speeds.of(spec, "compress", stage)
            rows.append((method.first_progress_step, seconds))
    for wanted in spec.perplexity:
        rows.append(("perplexity", perplexity_work(shape, wanted) / speeds.of(spec, "perplexity")))
    if shots := sum(prompts_work(shape, task) for task in spec.tasks):
        rows.append(("prompts", shots / speeds.of(spec, "perplexity")))
    if spec.tasks:
        work = sum(task_work(shape, task) for task in spec.tasks)
        rows.append(("tasks", work / speeds.of(spec, "tasks", dtype=spec.scoring_dtype)))
    if spec.latency:
        seconds = (
            shape.forward(LATENCY_TOKENS, 512) / speeds.of(spec, "perplexity") + LATENCY_STEPS * size / MEMORY_RATE
        )
        rows.append(("latency", seconds))
    if spec.scan:
        rows.append(("scan", scan_work(shape, spec.variant.stages[0], spec.scan) / speeds.of(spec, "perplexity")))
    item = BYTES[spec.variant.dtype]
    held = [build_method(stage).memory(shape, stage.calibration, item) for stage in stages]
    if spec.tasks and spec.scoring_dtype != spec.variant.dtype:
        held.append(shape.parameters * BYTES[spec.scoring_dtype])  # the weights in it, beside the variant's own
    if any(task.fewshot != ZERO_SHOT for task in spec.tasks):
        held.append(shape.parameters * BYTES["float32"])  # the dense model, beside the variant
    if spec.save:  # and read by another program, with libraries of its own
        rows += [("save", size / LOAD_BYTES), ("prove", START_SECONDS + size / LOAD_BYTES)]
        held.append(round(PROCESS_BYTES + size))
    most = max(held, default=0)
    return Estimate(
        seconds=sum(seconds for _, seconds in rows), bytes=round(PROCESS_BYTES + size + most), stages=_longest(rows)
    )


def _longest(rows: Iterable[tuple[str, float]]) -> dict[str, float]:
    longest: dict[str, float] = {}
    for stage, seconds in rows:
        longest[stage] = max(seconds, longest.get(stage, 0.0))
    return longest
