"""The command that makes a stored variant and its numbers again."""

from __future__ import annotations

import shlex

from core.registry import spelt_out
from core.results import Result
from core.specs import Perplexity, Stage, Task


def reproduce(result: Result) -> str | None:
    """Return the `python -m core run` line for a result: variant, perplexities, tasks, latency.

    None where `run` has no words for its stages: it takes one method, one recovery after it, and one seed for both.
    """
    variant = result.variant
    first, *later = variant.stages
    seeds = {stage.seed for stage in variant.stages} - {None}
    if first.recovers or len(later) > 1 or any(stage.removes for stage in later) or len(seeds) > 1:
        return None
    words = ["python", "-m", "core", "run", variant.model, first.method]
    if first.pattern:
        words += ["--pattern", first.pattern]
    elif first.ratio is not None:
        words += ["--ratio", f"{first.ratio:g}"]
    words += _settings("--set", first)
    if first.layers:
        words += ["--layers", first.layers]
    if first.calibration:
        words += ["--calibration", str(first.calibration)]
    for stage in later:
        words += ["--recover", stage.method, "--train", str(stage.calibration), *_settings("--recover-set", stage)]
    words += [word for seed in seeds if seed for word in ("--seed", str(seed))]
    if variant.dtype != "float32":
        words += ["--dtype", variant.dtype]
    tasks: dict[str, None] = {}
    for row in result.measurements:
        if row.of_text:
            window, windows = row.protocol["window"], row.protocol.get("windows")
            words += ["--perplexity", str(Perplexity(corpus=row.dataset, window=window, windows=windows))]
        elif row.metric.startswith("acc"):
            tasks[str(Task(task=row.dataset, limit=row.protocol.get("limit")))] = None
    if tasks:
        words += ["--tasks", ",".join(tasks)]
    if any(row.metric == "prefill" for row in result.measurements):
        words.append("--latency")
    return shlex.join(words)


def _settings(option: str, stage: Stage) -> list[str]:
    """Return every parameter as an option, those at their default too: a later version may have others."""
    known = [(name, value) for name, value in spelt_out(stage).items() if value is not None]
    return [word for name, value in known for word in (option, f"{name}={value}")]
