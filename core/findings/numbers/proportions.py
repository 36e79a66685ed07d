"""The standard error of a paired difference of accuracies, and of its mean over tasks.

A document counts +1 if only the second variant answers it correctly, -1 if only the first one does, and 0 otherwise.
Bonett and Price (2012, doi:10.3102/1076998611411915) add one document of each sign before they estimate mean and
variance. Without the two added documents, intervals from few differing documents are far too narrow. The interval and
the test use the same statistic, so the interval excludes zero exactly if p is at most ALPHA.
"""

from collections.abc import Sequence
from typing import NamedTuple

from core.findings.numbers.intervals import combined


class Counts(NamedTuple):
    """Numbers of documents of a task."""

    gained: int  # correct only in the second variant
    lost: int  # correct only in the first variant
    n: int  # all


def adjusted_mean(tasks: Sequence[Counts]) -> tuple[float, float | None, float]:
    """Estimate the mean of the tasks' differences.

    Each of k tasks gets 1 / k of the two added documents, so that the mean has the same adjustment as a single task.

    Args:
        tasks: The counts of each task, at least one.

    Returns:
        The adjusted mean in [-1, 1], its standard error (None if a task has one document), and the degrees of
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
