"""Confidence intervals and t tests of means, and standard errors of means over tasks."""

import math
from collections.abc import Iterable, Sequence

ALPHA = 0.05  # significance level; intervals have the confidence 1 - ALPHA


def interval(mean: float, stderr: float | None, freedom: float) -> tuple[float | None, float | None]:
    """Return the 1 - ALPHA confidence interval of a mean by Student's t."""
    from scipy.special import stdtrit

    if stderr is None:
        return None, None
    half = float(stdtrit(freedom, 1 - ALPHA / 2)) * stderr if stderr else 0.0
    return mean - half, mean + half


def count_interval(count: int, n: int) -> tuple[float, float]:
    """Return the exact 1 - ALPHA interval of a binomial count out of n (Clopper and Pearson, 1934)."""
    from scipy.special import betaincinv

    low = betaincinv(count, n - count + 1, ALPHA / 2) if count else 0.0
    high = betaincinv(count + 1, n - count, 1 - ALPHA / 2) if count < n else 1.0
    return n * float(low), n * float(high)


def combined(errors: Iterable[tuple[float | None, int]]) -> tuple[float | None, float]:
    """Combine the standard errors of tasks into that of their unweighted mean.

    `errors` are (standard error, n) of each task.

    Returns:
        The standard error, None if a task has none, and the degrees of freedom by Welch and Satterthwaite.
    """
    every = list(errors)
    parts = [(stderr**2, n - 1) for stderr, n in every if stderr is not None]  # (variance, freedom) each
    total, freedom = summed(parts)
    return (None if len(parts) < len(every) else math.sqrt(total) / len(every)), freedom


def summed(variances: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Sum independent variances, (variance, degrees of freedom) each, with the freedom of Welch and Satterthwaite."""
    total = sum(variance for variance, _ in variances)
    shares = sum((variance / total) ** 2 / freedom for variance, freedom in variances) if total else 0.0
    return total, 1 / shares if shares else math.inf


def t_test(mean: float, stderr: float | None, freedom: float) -> float | None:
    """Return the two-sided p of the hypothesis that the mean is zero."""
    from scipy.special import stdtr

    if stderr is None:
        return None
    if not stderr:  # all differences are equal
        return 0.0 if mean else 1.0
    return float(2 * stdtr(freedom, -abs(mean) / stderr))
