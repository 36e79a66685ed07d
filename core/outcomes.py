"""From the outcomes of single documents or windows to the number that they give."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from core.longrun import StandardError, independent

if TYPE_CHECKING:
    from pandas import DataFrame

METRICS = ("acc", "acc_norm", "perplexity")  # of what the harness computes of a task, those that are kept
HIGHEST = 700.0  # nats: a float holds no larger exponential


def value(metric: str, samples: DataFrame) -> float:
    """Return the number that a metric's column gives, as `summary` does."""
    values = samples[metric].to_numpy(float)
    known = values[~np.isnan(values)]  # np.mean takes a third of the time of pandas
    mean = float(known.mean()) if len(known) else math.nan
    return math.exp(min(-mean, HIGHEST)) if metric == "perplexity" else mean


def summary(
    metric: str, samples: DataFrame, error: Callable[[np.ndarray], StandardError] = independent
) -> dict[str, Any]:
    """Return value, stderr (None where there is none) and n of a metric's column; perplexity's stderr is by the delta
    method.

    A perplexity's column holds log-likelihoods in nats, a row a document or window: that of a word (LAMBADA), or of a
    window's tokens in the mean. `error` gives the standard error of the mean of the column (n,). Where rows are not
    independent, `inflation` says how many times larger its square is than that of as many independent ones.
    """
    values, found = samples[metric].to_numpy(float), value(metric, samples)
    stderr, plain = error(values).value, independent(values).value
    summed: dict[str, Any] = {"value": found, "n": len(samples), "stderr": stderr}
    if stderr is not None and metric == "perplexity":
        summed["stderr"] = stderr * found
    if error is not independent and stderr and plain:
        summed["inflation"] = (stderr / plain) ** 2
    return summed
