"""The measurements on the windows of a text: the perplexity, and the distance to the dense model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from core.base.window_start import start_protocol
from core.evaluation.outcomes import summary
from core.protocols import perplexity_protocol
from core.results import AGREEMENT, KL, KL_P99, Measurement
from core.statistics.correlations import VALUES, error_of, interval_note
from core.statistics.quantiles import quantile_interval

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from core.data.corpus import CorpusSource
    from core.evaluation.perplexity import TextLosses
    from core.specs import Perplexity

TAIL = 0.99  # quantile over tokens


def text_rows(
    reading: TextLosses[Perplexity], corpus: CorpusSource, tokens: int, tokenizer: PreTrainedTokenizerBase, dtype: str
) -> list[Measurement]:
    """Return the perplexity on a text, and the distance to the dense model if the reading has it.

    Args:
        reading: What a model computed on the windows.
        corpus: The text.
        tokens: The number of tokens in the windows.
        tokenizer: The tokenizer of the windows.
        dtype: The precision.
    """
    protocol = perplexity_protocol(reading.text, dtype) | start_protocol(tokenizer) | {"source": corpus.source}
    number = corpus.id, protocol, VALUES["perplexity"]
    summed = summary("perplexity", reading.samples, error_of(*number))
    details = {"seconds": round(reading.seconds, 3), "tokens": tokens} | interval_note(*number, summed["n"])
    row = Measurement(metric="perplexity", dataset=corpus.id, protocol=protocol, details=details, **summed)
    return [row] if reading.divergences is None else [row, *fidelity(row, reading.samples, reading.divergences)]


def fidelity(row: Measurement, samples: pd.DataFrame, divergences: Tensor) -> list[Measurement]:
    """Return the numbers of `core.metrics.FIDELITY`.

    Args:
        row: The perplexity on the same windows.
        samples: A row per window with kl and agreement, their means over its tokens.
        divergences: The divergence at each token, (N, L - 1) in nats.

    Returns:
        The mean and the 99th percentile of the divergence, and the agreement, under the protocol of the perplexity. The
        details of the percentile have the ends of its interval, and those of the mean the windows without numbers.
    """
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
