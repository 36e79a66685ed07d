"""From the outcomes of single documents or windows to the number that they give."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

METRICS = ("acc", "acc_norm", "perplexity")  # of what the harness computes of a task, those that are kept
HIGHEST = 700.0  # nats: a float holds no larger exponential


def value(metric: str, samples: DataFrame) -> float:
    """Return the number that a metric's column gives, as `summary` does."""
    mean = float(samples[metric].mean())
    return math.exp(min(-mean, HIGHEST)) if metric == "perplexity" else mean


def summary(metric: str, samples: DataFrame) -> dict[str, Any]:
    """Return value, stderr (None where there is none) and n of a metric's column; perplexity's stderr is by the delta
    method.

    A perplexity's column holds log-likelihoods in nats, a row a document or window: that of a word (LAMBADA), or of a
    window's tokens in the mean.
    """
    found, n = value(metric, samples), len(samples)
    spread = float(samples[metric].std())  # NaN for one document, or where a loss is infinite
    stderr = None if math.isnan(spread) else spread / math.sqrt(n)
    if metric == "perplexity" and stderr is not None:
        stderr *= found
    return {"value": found, "stderr": stderr, "n": n}
