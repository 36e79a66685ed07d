"""Estimates of a run's time and memory before it starts; imports no torch.

The time is the floating-point operations (`core.request.expected.cost`) over the speed of stored runs on this machine.
Without stored runs, the speed follows from that of a product of matrices, or is a cautious constant on a GPU.
"""

import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import psutil

from core.base.paths import cached_variant
from core.models.facts import load_shape
from core.models.sources import identify_again
from core.registry import build_method
from core.request.baseline import keys_of, remaining_run
from core.request.execution import choose_execution
from core.request.expected.cost import perplexity_work, prompts_work, scan_work, stage_work, task_work
from core.request.expected.speeds import Speeds, history_of
from core.specs import BYTES, Frozen, RunSpec, Stage, VariantSpec
from core.store.store import Store
from core.training.base import TrainingMethod

LOADS = Path("/proc/loadavg")  # the means, then the running threads of all
NOTICED = 1.25  # factor below which a machine counts as quiet
USUALLY = "usually within a factor of 2"  # as of `benchmarks.running.estimates`, for the first run of a method
START_SECONDS = 10  # to import the libraries
LOAD_BYTES = 500e6  # per second
FETCH_BYTES = 5e6  # per second
LATENCY_TOKENS = 8 * 2 * 512 * (1 + 4)  # of the latency measurement: repeats, twice, prompt, both batch sizes
LATENCY_STEPS = 8 * 32 * 2  # decoding steps, each of which reads all weights once
MEMORY_RATE = 5e9  # bytes per second


def slowdown() -> float:
    """Return how many times longer a run takes beside the programs that run now; 1 on a quiet machine.

    Beside n threads, a run of c threads on c cores gets c / (c + n) of their time.
    """
    factor = 1 + _busy_threads() / (os.cpu_count() or 1)
    return factor if factor >= NOTICED else 1.0


def _busy_threads() -> float:
    """Return the threads of other programs that have run over the last minute and still do.

    The mean alone would count a run that has just ended, and this moment alone a program of a second.
    """
    mean: float = psutil.getloadavg()[0]
    try:
        now = int(LOADS.read_text().split()[3].partition("/")[0]) - 1  # without this thread
    except OSError:  # as outside Linux
        return mean
    return min(mean, now)


class Estimate(Frozen):
    """The estimated time and memory of a run."""

    seconds: float
    bytes: int  # peak memory of the process and of the export check
    streaming: str = ""  # why the model streams; empty if it does not
    disk: int = 0  # bytes of disk that streaming takes
    refusal: str = ""  # why the run exceeds a stated memory budget; empty if it can run
    # Seconds of each progress step, of the longest one if a step repeats; "" is the start.
    stages: dict[str, float] = {}


def cached_stages(variant: VariantSpec) -> int:
    """Count the first stages of a variant that need not run, because their result is cached."""
    counts = range(len(variant.stages), 0, -1)
    return next((count for count in counts if cached_variant(variant.prefixes[count].key).is_dir()), 0)


def stages_to_run(spec: RunSpec) -> tuple[Stage, ...]:
    """Return the stages of a run after the longest cached prefix."""
    return spec.variant.stages if spec.force else spec.variant.stages[cached_stages(spec.variant) :]


def estimate_left(specs: Sequence[RunSpec], store: Store) -> Estimate:
    """Estimate the parts of some runs that are not stored yet; a shared baseline counts once."""
    speeds = lru_cache(history_of(store).speeds)  # one query of the store per model
    stored = store.get_many(keys_of(specs))
    parts = {part.model_dump_json(): part for spec in specs for part in remaining_run(spec, stored)}
    found = [
        estimate(part, speeds(part.variant.model_id), stored.get(part.variant.key) is not None)
        for part in parts.values()
    ]
    return Estimate(
        seconds=sum(one.seconds for one in found),
        bytes=max((one.bytes for one in found), default=0),
        streaming=next((one.streaming for one in found if one.streaming), ""),
        disk=max((one.disk for one in found), default=0),
        refusal=next((one.refusal for one in found if one.refusal), ""),
        stages=_longest(row for one in found for row in one.stages.items()),
    )


def estimate(spec: RunSpec, speeds: Speeds, stored: bool = False) -> Estimate:
    """Estimate a run at the speeds of this machine.

    Only `stages_to_run` count. None count if the variant is `stored` and the run only scans.
    """
    stages = () if stored and spec.only_scans else stages_to_run(spec)
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
    if spec.fidelity:  # unless the outputs are cached
        work = sum(perplexity_work(shape, wanted) for wanted in spec.perplexity)
        rows.append(("dense", work / speeds.of(spec, "perplexity")))
    for wanted in spec.perplexity:
        rows.append(("perplexity", perplexity_work(shape, wanted) / speeds.of(spec, "perplexity")))
    if prompts := sum(prompts_work(shape, task) for task in spec.tasks):
        rows.append(("prompts", prompts / speeds.of(spec, "perplexity")))
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
    if spec.save:
        rows += [("save", size / LOAD_BYTES), ("prove", START_SECONDS + size / LOAD_BYTES)]
    execution = choose_execution(spec, stages, shape)
    return Estimate(
        seconds=sum(seconds for _, seconds in rows),
        bytes=execution.peak,
        streaming=execution.reason,
        disk=execution.disk if execution.streams else 0,
        refusal=execution.refusal,
        stages=_longest(rows),
    )


def _longest(rows: Iterable[tuple[str, float]]) -> dict[str, float]:
    longest: dict[str, float] = {}
    for stage, seconds in rows:
        longest[stage] = max(seconds, longest.get(stage, 0.0))
    return longest
