"""The measurements of a variant's distance to the dense model on the windows of a text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from core.evaluation.outcomes import summary
from core.results import AGREEMENT, KL, KL_P99, Measurement
from core.statistics.correlations import VALUES, error_of
from core.statistics.quantiles import quantile_interval

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

TAIL = 0.99  # quantile over tokens


def fidelity(row: Measurement, samples: pd.DataFrame, divergences: Tensor) -> list[Measurement]:
    """Return the numbers of `core.results.FIDELITY`.

    Args:
        row: The perplexity on the same windows.
        samples: A row per window with kl and agreement, their means over its tokens.
        divergences: The divergence at each token, (N, L - 1) in nats.

    Returns:
        The mean and the 99th percentile of the divergence, and the agreement, under the protocol of the perplexity. The
        details of the percentile have the ends of its interval, and those of the mean the windows without numbers.
    """
    details = {name: row.details[name] for name in ("seconds", "tokens") if name in row.details}
    value, low, high = quantile_interval(divergences.double().numpy(), TAIL)
    broken = [place for place, kl in enumerate(samples[KL]) if not math.isfinite(kl)]
    errors = {name: error_of(row.dataset, row.protocol, VALUES[name]) for name in (KL, AGREEMENT)}
    means = {name: summary(name, samples, error) for name, error in errors.items()}
    more = {
        KL: means[KL] | {"details": details | ({"not_finite": broken} if broken else {})},
        KL_P99: {"value": value, "n": len(samples), "details": details | {"low": low, "high": high}},
        AGREEMENT: means[AGREEMENT] | {"details": details},
    }
    same = {"dataset": row.dataset, "protocol": row.protocol}
    return [Measurement.model_validate({"metric": metric, **same, **values}) for metric, values in more.items()]
