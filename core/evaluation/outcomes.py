"""Aggregation of per-document or per-window outcomes into one number."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NotRequired, TypedDict

import numpy as np

from core.statistics.longrun import StandardError, independent

if TYPE_CHECKING:
    from pandas import DataFrame

METRICS = ("acc", "acc_norm", "perplexity")  # metrics of the harness that are stored
HIGHEST = 700.0  # nats: the exponential of more overflows a float


class Summary(TypedDict):
    """The fields of a measurement that follow from its outcomes."""

    value: float
    n: int
    stderr: float | None
    inflation: NotRequired[float]


def value(metric: str, samples: DataFrame) -> float:
    """Compute the value of a metric's column, as `summary` does."""
    values = samples[metric].to_numpy(float)
    known = values[~np.isnan(values)]  # np.mean takes a third of the time of pandas
    mean = float(known.mean()) if len(known) else math.nan
    return math.exp(min(-mean, HIGHEST)) if metric == "perplexity" else mean


def summary(metric: str, samples: DataFrame, error: Callable[[np.ndarray], StandardError] = independent) -> Summary:
    """Compute value, standard error and n of a metric's column.

    The standard error of a perplexity follows by the delta method.

    Args:
        metric: Name of the column.
        samples: One row per document or window. A perplexity's column has log-likelihoods in nats: of a word (LAMBADA),
            or the mean over a window's tokens.
        error: Computes the standard error of the mean of the column, (n,).

    Returns:
        `value`, `n` and `stderr`, which is None if unknown. If `error` is not `independent`, also `inflation`: the
        squared standard error as a multiple of that of independent rows.
    """
    values, found = samples[metric].to_numpy(float), value(metric, samples)
    stderr, plain = error(values).value, independent(values).value
    summed: Summary = {"value": found, "n": len(samples), "stderr": stderr}
    if stderr is not None and metric == "perplexity":
        summed["stderr"] = stderr * found
    if error is not independent and stderr and plain:
        summed["inflation"] = (stderr / plain) ** 2
    return summed
