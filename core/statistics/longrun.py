"""The standard error of a mean of consecutive values, such as the losses of consecutive windows of a text.

Neighbouring windows often belong to one article, so their values correlate. The mean then varies more than that of
independent values: its variance is s^2 / n times f = 1 + 2 sum (1 - k / n) rho_k, with the autocorrelation rho_k at
lag k.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

ROUNDS = 200  # of the fixed-point iteration in `autocorrelation`, which needs about 20


class StandardError(NamedTuple):
    """The standard error of a mean; `value` is None if it cannot be estimated."""

    value: float | None
    freedom: float  # degrees of freedom of its Student's t


def independent(values: np.ndarray) -> StandardError:
    """Compute the standard error of the mean of independent values, (n,)."""
    n = len(values)
    with np.errstate(all="ignore"):  # a diverged model's losses are infinite or NaN
        return StandardError(_finite(float(values.std(ddof=1)) / math.sqrt(n)) if n > 1 else None, n - 1)


def consecutive(values: np.ndarray, correlation: Sequence[float] | None = None) -> StandardError:
    """Compute the standard error of the mean of consecutive values, which may correlate.

    With `correlation`, s^2 is scaled by f >= 1 and by (n - 1) / (n - f), because the sample's own mean hides a part of
    the variance. The degrees of freedom are those of the chi-square with the mean and variance of s^2 (Satterthwaite,
    1946).

    Without it, a few values cannot show their autocorrelation. The variance is then the mean square of the first B
    cosine coefficients of the series. These are nearly independent, and each has the long-run variance. t has B degrees
    of freedom (Lazarus, Lewis, Stock and Watson, 2018), so the intervals are wide rather than too narrow.

    Args:
        values: Values in their order, (n,).
        correlation: Autocorrelation at lags 0, 1, ... from a longer record; 0 beyond its end.

    Returns:
        The standard error and its degrees of freedom.
    """
    n = len(values)
    if n < 2 or not np.isfinite(values).all():
        return StandardError(None, math.nan)
    if not np.ptp(values):
        return StandardError(0.0, n - 1)
    if correlation is None:
        cosines = _cosines(n)
        return StandardError(_finite(math.sqrt(float(((cosines @ values) ** 2).mean()) / n)), len(cosines))
    factor, freedom = _scale(n, tuple(correlation[:n]))
    return StandardError(_finite(math.sqrt(factor / n) * float(values.std(ddof=1))), freedom)


def freedom(n: int, correlation: Sequence[float] | None) -> float:
    """Return the degrees of freedom of `consecutive` of n > 1 values, not all equal."""
    return _frequencies(n) if correlation is None else _scale(n, tuple(correlation[:n]))[1]


def inflation(n: int, correlation: Sequence[float]) -> float:
    """Compute the variance of a mean of n consecutive values as a multiple of s^2 / n."""
    return _scale(n, tuple(correlation[:n]))[0] if n > 1 else 1.0


def autocorrelation(series: np.ndarray) -> np.ndarray:
    """Estimate the autocorrelation that several series share.

    It is the mean of the autocovariances, each divided by its own variance. Subtracting a sample's own mean biases it:
    rho_hat = (rho - f / n) / (1 - f / n), which is solved for rho. The cut-off is Geyer's initial monotone sequence
    (1992), which keeps the sums of two neighbouring lags while they are positive and lets them never rise.

    Args:
        series: Values of m series, (m, n).

    Returns:
        Autocorrelation at lags 0, 1, ... up to the cut-off.
    """
    n = series.shape[1]
    centred = series - series.mean(1, keepdims=True)
    lags = range(n // 2)
    products = np.array([(centred[:, : n - lag] * centred[:, lag:]).mean(1) for lag in lags])  # (lags, m)
    raw: np.ndarray = (products / products[0]).mean(1)  # (lags,)
    factor, found = 1.0, raw
    for _ in range(ROUNDS):
        found = _cut_off(raw * (1 - factor / n) + factor / n)
        factor = (factor + min(_factor(n, found), n / 2)) / 2
    return found


def _cut_off(correlation: np.ndarray) -> np.ndarray:
    pairs = correlation[: len(correlation) // 2 * 2].reshape(-1, 2)
    sums = pairs.sum(1)
    kept = int(np.argmax(sums <= 0)) if (sums <= 0).any() else len(sums)
    lowest = np.minimum.accumulate(sums[:kept])
    convex: np.ndarray = (pairs[:kept] * (lowest / sums[:kept])[:, None]).ravel()
    return convex


def _factor(n: int, correlation: np.ndarray) -> float:
    lags = np.arange(1, min(n, len(correlation)))
    return max(1.0, float(1 + 2 * ((1 - lags / n) * correlation[1 : len(lags) + 1]).sum()))


@lru_cache(maxsize=256)
def _scale(n: int, correlation: tuple[float, ...]) -> tuple[float, float]:
    """Compute f (n - 1) / (n - f) and the degrees of freedom of s^2."""
    row = np.array(correlation)  # (k,), the first row of the Toeplitz matrix R of the n values
    lags = np.arange(1, len(row))
    short = min(n, 2 * len(row) + 1)  # beyond k from both ends, all rows of R have one sum: one stands for them all
    sums, reached = row.cumsum(), np.arange(short)
    row_sums = (
        sums[np.minimum(reached, len(row) - 1)] + sums[np.minimum(reached[::-1], len(row) - 1)] - row[0]
    )  # (short,)
    copies = np.where(np.arange(short) == short // 2, n - short + 1, 1)
    total = float((copies * row_sums).sum())  # 1' R 1
    squares = n * row[0] ** 2 + 2 * ((n - lags) * row[1:] ** 2).sum()  # trace(R R)
    square_sums = float((copies * row_sums**2).sum())  # 1' R R 1
    factor = _factor(n, row)
    # With M = I - 11' / n, the degrees of freedom are trace(M R)^2 / trace(M R M R).
    freedom = float((n * row[0] - total / n) ** 2 / (squares - 2 * square_sums / n + (total / n) ** 2))
    return factor * (n - 1) / (n - factor), freedom


def _frequencies(n: int) -> int:
    """Return B, by the rule of Lazarus et al. for tests at 5 %."""
    return max(1, round(float(0.41 * n ** (2 / 3))))


@lru_cache(maxsize=64)
def _cosines(n: int) -> np.ndarray:
    """Return the orthonormal cosines of the frequencies 1 to B, (B, n)."""
    frequencies, places = np.arange(1, _frequencies(n) + 1)[:, None], np.arange(n) + 0.5
    return math.sqrt(2 / n) * np.cos(math.pi * frequencies * places / n)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
