"""Numbers from outcomes per document or per window, and the measurements on the windows of a text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NotRequired, TypedDict

import numpy as np

from core.base.window_start import start_protocol
from core.data.corpus import CorpusSource
from core.protocols import perplexity_protocol
from core.results import AGREEMENT, KL, KL_P99, Measurement
from core.specs import Perplexity
from core.statistics.correlations import VALUES, error_of, interval_note
from core.statistics.longrun import StandardError, independent

if TYPE_CHECKING:
    import pandas as pd
    from pandas import DataFrame
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from core.evaluation.perplexity import TextLosses

METRICS = ("acc", "acc_norm", "perplexity")  # metrics of the harness that are stored
HIGHEST = 700.0  # nats: the exponential of more overflows a float
TAIL = 0.99  # quantile over tokens


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
    """Compute value, standard error and n of a metric's column, by `error` of the standard error of its mean.

    `samples` has one row per document or window. A perplexity's column has log-likelihoods in nats: of a word
    (LAMBADA), or the mean over a window's tokens. Its standard error follows by the delta method; None if unknown. If
    `error` is not `independent`, `inflation` is the squared standard error as a multiple of that of independent rows.
    """
    values, found = samples[metric].to_numpy(float), value(metric, samples)
    stderr, plain = error(values).value, independent(values).value
    summed: Summary = {"value": found, "n": len(samples), "stderr": stderr}
    if stderr is not None and metric == "perplexity":
        summed["stderr"] = stderr * found
    if error is not independent and stderr and plain:
        summed["inflation"] = (stderr / plain) ** 2
    return summed


def text_rows(
    reading: TextLosses[Perplexity], corpus: CorpusSource, tokens: int, tokenizer: PreTrainedTokenizerBase, dtype: str
) -> list[Measurement]:
    """Return the perplexity on a text, and the distance to the dense model if the `reading` of its windows has it.

    `tokens` is the number of tokens in the windows.
    """
    protocol = perplexity_protocol(reading.text, dtype) | start_protocol(tokenizer) | {"source": corpus.source}
    number = corpus.id, protocol, VALUES["perplexity"]
    summed = summary("perplexity", reading.samples, error_of(*number))
    details = {"seconds": round(reading.seconds, 3), "tokens": tokens} | interval_note(*number, summed["n"])
    row = Measurement(metric="perplexity", dataset=corpus.id, protocol=protocol, details=details, **summed)
    return [row] if reading.divergences is None else [row, *fidelity(row, reading.samples, reading.divergences)]


def fidelity(row: Measurement, samples: pd.DataFrame, divergences: Tensor) -> list[Measurement]:
    """Return the numbers of `core.metrics.FIDELITY`, under the protocol of the perplexity `row` on the same windows.

    Those are the mean and the 99th percentile of the divergence at each token, (N, L - 1) in nats, and the agreement.
    `samples` has a row per window with kl and agreement, their means. The details of the percentile have the ends of
    its interval, and those of the mean the windows without numbers.
    """
    from core.statistics.quantiles import quantile_interval  # only here, as SciPy is slow to import

    details = {name: row.details[name] for name in ("seconds", "tokens") if name in row.details}
    broken = [place for place, kl in enumerate(samples[KL]) if not math.isfinite(kl)]
    numbers = {name: (row.dataset, row.protocol, VALUES[name]) for name in (KL, AGREEMENT)}
    means = {name: summary(name, samples, error_of(*number)) for name, number in numbers.items()}
    notes = {name: interval_note(*number, len(samples)) for name, number in numbers.items()}
    value, low, high = quantile_interval(divergences.double().numpy(), TAIL)
    more = {
        KL: means[KL] | {"details": details | notes[KL] | ({"not_finite": broken} if broken else {})},
        KL_P99: {"value": value, "n": len(samples), "details": details | {"low": low, "high": high}},
        AGREEMENT: means[AGREEMENT] | {"details": details | notes[AGREEMENT]},
    }
    same = {"dataset": row.dataset, "protocol": row.protocol}
    return [Measurement.model_validate({"metric": metric, **same, **values}) for metric, values in more.items()]
