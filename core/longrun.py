"""The standard error of a mean of values in a row, such as the losses of consecutive windows of a text.

Neighbouring windows are often of one article, so their values correlate and the mean varies more than that of as many
independent ones: its variance is s^2 / n times f = 1 + 2 sum (1 - k / n) rho_k, rho_k the autocorrelation at lag k.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

ROUNDS = 200  # of the fixed point in `autocorrelation`, which needs about 20


class StandardError(NamedTuple):
    """Of a mean; `value` is None where nothing shows the spread."""

    value: float | None
    freedom: float  # the degrees of freedom of its Student's t


def independent(values: np.ndarray) -> StandardError:
    """Return the standard error of the mean of independent values (n,)."""
    n = len(values)
    with np.errstate(all="ignore"):  # a diverged model's losses are infinite or NaN
        return StandardError(_finite(float(values.std(ddof=1)) / math.sqrt(n)) if n > 1 else None, n - 1)


def consecutive(values: np.ndarray, correlation: Sequence[float] | None = None) -> StandardError:
    """Return the standard error of the mean of values in a row (n,), which may correlate.

    `correlation` is the autocorrelation at lags 0, 1, ... where a longer record shows it, 0 beyond its end. Then s^2 is
    scaled by f and by (n - 1) / (n - f), as the sample's own mean hides a part of the variance; f is at least 1. The
    degrees of freedom are those of the chi-square with the mean and variance of s^2 (Satterthwaite, 1946).

    Without a record a few values cannot show their autocorrelation. Then the variance is the mean square of the first
    B cosine coefficients of the series, which are nearly independent and all of the long-run variance, and t has B
    degrees of freedom (Lazarus, Lewis, Stock and Watson, 2018): wide intervals, but not too narrow ones.
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


def inflation(n: int, correlation: Sequence[float]) -> float:
    """Return how many times larger the variance of a mean of n values in a row is than s^2 / n."""
    return _scale(n, tuple(correlation[:n]))[0] if n > 1 else 1.0


def autocorrelation(series: np.ndarray) -> np.ndarray:
    """Return the autocorrelation that several series (m, n) share, at lags 0, 1, ... up to where it is cut off.

    It is the mean of theirs, each divided by its own variance. Taking off a sample's own mean biases it by
    rho_hat = (rho - f / n) / (1 - f / n), which is solved for rho. The cut-off is that of Geyer's initial monotone
    sequence (1992): sums of two neighbouring lags are kept while they are positive, and never rise.
    """
    n = series.shape[1]
    centred = series - series.mean(1, keepdims=True)
    lags = range(n // 2)
    products = np.array([(centred[:, : n - lag] * centred[:, lag:]).mean(1) for lag in lags])  # (lags, m)
    raw = (products / products[0]).mean(1)  # (lags,)
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
    return (pairs[:kept] * (lowest / sums[:kept])[:, None]).ravel()


def _factor(n: int, correlation: np.ndarray) -> float:
    lags = np.arange(1, min(n, len(correlation)))
    return max(1.0, float(1 + 2 * ((1 - lags / n) * correlation[1 : len(lags) + 1]).sum()))


@lru_cache(maxsize=256)
def _scale(n: int, correlation: tuple[float, ...]) -> tuple[float, float]:
    """Return f (n - 1) / (n - f) and the degrees of freedom of s^2."""
    row = np.zeros(n)
    row[: len(correlation)] = correlation
    between = row[np.abs(np.subtract.outer(np.arange(n), np.arange(n)))]  # (n, n)
    centred = between - between.mean(0)
    factor = _factor(n, row)
    freedom = float(np.trace(centred) ** 2 / (centred * centred.T).sum())
    return factor * (n - 1) / (n - factor), freedom


@lru_cache(maxsize=64)
def _cosines(n: int) -> np.ndarray:
    """Return the orthonormal cosines (B, n) of frequencies 1 to B."""
    count = max(1, round(0.41 * n ** (2 / 3)))  # the rule of Lazarus and others for tests at 5 %
    frequencies, places = np.arange(1, count + 1)[:, None], np.arange(n) + 0.5
    return math.sqrt(2 / n) * np.cos(math.pi * frequencies * places / n)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
