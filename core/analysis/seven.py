"""The mean of the seven tasks that pruning papers report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from core.data.cards import SEVEN, TASKS
from core.results import Measurement
from core.specs import Scalar

MEAN = "mean of seven"


def mean(rows: Sequence[Measurement]) -> tuple[float, float | None]:
    """Return (mean, stderr) of accuracies; stderr is None if a task has none.

    Tasks are independent samples, so their variances add.
    """
    values = np.array([[row.value for row in rows]])
    errors = np.array([[math.nan if row.stderr is None else row.stderr for row in rows]])
    (value,), (stderr,) = mean_of(values), stderr_of(errors)
    return float(value), None if math.isnan(stderr) else float(stderr)


def mean_of(values: np.ndarray) -> np.ndarray:
    """Return the mean (variants,) of accuracies (variants, tasks)."""
    found: np.ndarray = sum(values.T) / values.shape[1]
    return found


def stderr_of(errors: np.ndarray) -> np.ndarray:
    """Return the standard errors (variants,) of `mean_of` from the tasks' (variants, tasks); NaN if one is NaN."""
    found: np.ndarray = np.sqrt(sum(errors.T**2)) / errors.shape[1]
    return found


def sevens(measurements: Iterable[Measurement]) -> dict[tuple[Scalar, ...], list[Measurement]]:
    """Return a variant's seven accuracies, in the order of `SEVEN`, by protocol; a protocol without all is left out.

    As in the papers, BoolQ, PIQA, WinoGrande and ARC-e use acc; HellaSwag, ARC-c and OpenBookQA use acc_norm.
    """
    groups: dict[tuple[Scalar, ...], dict[str, Measurement]] = {}
    for row in measurements:
        if row.dataset in SEVEN and row.metric == TASKS[row.dataset].metric:
            protocol = tuple(row.protocol.get(name) for name in ("limit", "fewshot", "dtype"))
            groups.setdefault(protocol, {})[row.dataset] = row
    return {protocol: [group[name] for name in SEVEN] for protocol, group in groups.items() if len(group) == len(SEVEN)}
