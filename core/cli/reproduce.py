"""The command that makes a stored variant and its numbers again."""

from __future__ import annotations

import shlex

from core.results import Result
from core.specs import Perplexity, Task


def reproduce(result: Result) -> str:
    """Return the `python -m core run` line for a result: variant, perplexities, tasks, latency."""
    variant = result.variant
    words = ["python", "-m", "core", "run", variant.model, variant.method]
    if variant.pattern:
        words += ["--pattern", variant.pattern]
    elif variant.ratio is not None:
        words += ["--ratio", f"{variant.ratio:g}"]
    for name, value in variant.stages[0].parameters.items():
        words += ["--set", f"{name}={value}"] if value is not None else []
    if variant.layers:
        words += ["--layers", variant.layers]
    if variant.calibration:
        words += ["--calibration", variant.calibration]
    for stage in variant.stages[1:]:
        words += ["--recover", stage.name, *(["--train", stage.text] if stage.text else [])]
        for name, value in stage.parameters.items():
            words += ["--recover-set", f"{name}={value}"] if value is not None else []
    if seed := next((stage.seed for stage in variant.stages if stage.seed), None):
        words += ["--seed", str(seed)]
    if variant.dtype != "float32":
        words += ["--dtype", variant.dtype]
    tasks = {}
    for row in result.measurements:
        if row.of_text:
            window, windows = row.protocol["window"], row.protocol.get("windows")
            words += ["--perplexity", str(Perplexity(corpus=row.dataset, window=window, windows=windows))]
        elif row.metric.startswith("acc"):
            tasks[str(Task(task=row.dataset, limit=row.protocol.get("limit")))] = None
    if tasks:
        words += ["--tasks", ",".join(tasks)]
    return shlex.join(words)
