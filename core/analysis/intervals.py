"""What the spread of differences says of their mean: intervals, the t test, and errors of means over tasks."""

from __future__ import annotations

import math
from collections.abc import Iterable

ALPHA = 0.05  # the rate of false alarms that a verdict allows; intervals hold 1 - ALPHA


def interval(mean: float, stderr: float | None, freedom: float) -> tuple[float | None, float | None]:
    """Return the ends of a mean's 1 - ALPHA interval by Student's t."""
    from scipy.special import stdtrit

    if stderr is None:
        return None, None
    half = float(stdtrit(freedom, 1 - ALPHA / 2)) * stderr if stderr else 0.0
    return mean - half, mean + half


def combined(errors: Iterable[tuple[float | None, int]]) -> tuple[float | None, float]:
    """Return the standard error of a mean over tasks (None where a task has none) and its degrees of freedom.

    `errors` are the standard error and n of each.
    """
    told = list(errors)
    parts = [(stderr**2, n - 1) for stderr, n in told if stderr is not None]  # (variance, freedom) each
    total = sum(variance for variance, _ in parts)
    if len(parts) < len(told) or not total:
        return (None if len(parts) < len(told) else 0.0), math.inf
    return math.sqrt(total) / len(told), 1 / sum((variance / total) ** 2 / freedom for variance, freedom in parts)


def t_test(mean: float, stderr: float | None, freedom: float) -> float | None:
    """Return p, two-sided, of a mean that is zero."""
    from scipy.special import stdtr

    if stderr is None:
        return None
    if not stderr:  # all differences are the same one
        return 0.0 if mean else 1.0
    return float(2 * stdtr(freedom, -abs(mean) / stderr))
