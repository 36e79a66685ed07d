"""Means over the seven tasks that pruning papers report: the papers' own, and the one above chance.

A model that collapses gains on a task that the dense model does worse than a constant answer. The papers' mean of seven
rewards that. The mean above chance counts only the tasks on which the dense model shows knowledge.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from core.data.cards import SEVEN, TASKS
from core.findings.numbers.reporting import listed
from core.results import Measurement
from core.specs import Scalar

MEAN = "mean of seven"
ABOVE_CHANCE = "mean above chance"
ONE_SIDED = 1.645  # standard errors: the 95th percentile of the normal distribution
Accuracy = tuple[float, float | None]  # value and standard error in [0, 1]; None: unknown


def counted_tasks(dense: Mapping[str, Accuracy]) -> tuple[str, ...]:
    """Return the tasks of the mean above chance, in the order of `SEVEN`.

    They are those on which the dense model is significantly above both chance and the majority class (one-sided, 5 %).
    Without one of the seven no task counts. Without a standard error, the accuracy alone decides.
    """
    if not dense.keys() >= set(SEVEN):
        return ()
    return tuple(name for name in SEVEN if _is_above(name, *dense[name]))


def common(tasks: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the tasks that count for each of several models, at least one."""
    return tuple(name for name in tasks[0] if all(name in others for others in tasks))


def _is_above(task: str, value: float, stderr: float | None) -> bool:
    return value - ONE_SIDED * (stderr or 0.0) > max(TASKS[task].chance, TASKS[task].majority)


def counted_words(dense: Mapping[str, Accuracy]) -> str:
    """Name the tasks of the mean above chance, and those left out with the reason; empty without a dense model."""
    if not dense.keys() >= set(SEVEN):
        return ""
    tasks = counted_tasks(dense)
    text = f"The mean above chance counts {listed([TASKS[name].label for name in tasks]) or 'no task'}."
    out = [
        f"{TASKS[name].label} ({100 * dense[name][0]:.1f} % against "
        f"{100 * max(TASKS[name].chance, TASKS[name].majority):.1f} %)"
        for name in SEVEN
        if name not in tasks
    ]
    if not out:
        return text
    return (
        f"{text} Left out, as dense is not significantly above both chance and the most frequent answer: {listed(out)}."
    )


def chance_of(tasks: Sequence[str]) -> float:
    """Return the mean accuracy of guessing over tasks."""
    return sum(TASKS[name].chance for name in tasks) / len(tasks)


def mean(rows: Sequence[Measurement]) -> tuple[float, float | None]:
    """Return (mean, stderr) of accuracies; stderr is None if a task has none.

    Tasks are independent samples, so their variances add.
    """
    values = np.array([[row.value for row in rows]])
    errors = np.array([[math.nan if row.stderr is None else row.stderr for row in rows]])
    (value,), (stderr,) = mean_of(values), stderr_of(errors)
    return float(value), None if math.isnan(stderr) else float(stderr)


def mean_above_chance(rows: Sequence[Measurement]) -> tuple[float, float | None]:
    """Return (mean, stderr) of accuracies minus those of guessing."""
    value, stderr = mean(rows)
    return value - chance_of([row.dataset for row in rows]), stderr


def mean_of(values: np.ndarray) -> np.ndarray:
    """Return the mean (variants,) of accuracies (variants, tasks)."""
    return np.asarray(sum(values.T) / values.shape[1])


def stderr_of(errors: np.ndarray) -> np.ndarray:
    """Return the standard errors (variants,) of `mean_of` from the tasks' (variants, tasks); NaN if one is NaN."""
    return np.asarray(np.sqrt(sum(errors.T**2)) / errors.shape[1])


def by_protocol(measurements: Iterable[Measurement]) -> dict[tuple[Scalar, ...], dict[str, Measurement]]:
    """Return a variant's accuracies in the seven tasks, by protocol and task.

    As in the papers, BoolQ, PIQA, WinoGrande and ARC-e use acc; HellaSwag, ARC-c and OpenBookQA use acc_norm.
    """
    groups: dict[tuple[Scalar, ...], dict[str, Measurement]] = {}
    for row in measurements:
        if row.dataset in SEVEN and row.metric == TASKS[row.dataset].metric:
            protocol = tuple(row.protocol.get(name) for name in ("limit", "fewshot", "dtype"))
            groups.setdefault(protocol, {})[row.dataset] = row
    return groups


def sevens(measurements: Iterable[Measurement]) -> dict[tuple[Scalar, ...], list[Measurement]]:
    """Return a variant's seven accuracies, in the order of `SEVEN`, by protocol; a protocol without all is left out."""
    groups = by_protocol(measurements)
    return {protocol: [group[name] for name in SEVEN] for protocol, group in groups.items() if len(group) == len(SEVEN)}


def accuracies_of(rows: Mapping[str, Measurement]) -> dict[str, Accuracy]:
    """Return the accuracies of `by_protocol` under one protocol, as `counted_tasks` takes them."""
    return {name: (row.value, row.stderr) for name, row in rows.items()}


def of_rows(rows: pd.DataFrame) -> dict[str, Accuracy]:
    """Return accuracies, as `counted_tasks` takes them, from tidy rows of one variant and protocol."""
    stderr = rows["stderr"].astype(float)
    errors = [None if math.isnan(one) else one for one in stderr]
    return dict(zip(rows["dataset"], zip(rows["value"].astype(float), errors, strict=True), strict=True))
