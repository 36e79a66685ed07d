"""The standard error of a paired difference of accuracies, and of its mean over tasks.

A document counts +1 where only the second variant answers it rightly, -1 where only the first one does, and else 0.
Bonett and Price (2012, doi:10.3102/1076998611411915) add one document of either sign before they estimate mean and
variance. One statistic then gives the interval and the test, so that the interval excludes zero exactly where p is at
most ALPHA. Without the two documents, few that differ give intervals that are far too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from core.analysis.intervals import combined


class Counts(NamedTuple):
    """Documents of a task: those that only the second variant, or only the first, has right, and all."""

    gained: int
    lost: int
    n: int


def adjusted_mean(tasks: Sequence[Counts]) -> tuple[float, float | None, float]:
    """Estimate the mean of the tasks' differences.

    Each task gets 1 / k of the two documents, so that the mean over k tasks is adjusted as much as one task is.

    Args:
        tasks: The counts of each task, at least one.

    Returns:
        The adjusted mean in [-1, 1], its standard error (None where a task has one document), and the degrees of
        freedom of Student's t by Welch and Satterthwaite.
    """
    added = 1 / len(tasks)
    means: list[float] = []
    errors: list[tuple[float | None, int]] = []
    for task in tasks:
        n = task.n + 2 * added
        mean = (task.gained - task.lost) / n
        variance = (task.gained + task.lost + 2 * added) / n - mean**2
        means.append(mean)
        errors.append((float(variance / n) ** 0.5 if task.n > 1 else None, task.n))
    return sum(means) / len(means), *combined(errors)
