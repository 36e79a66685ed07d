"""The numbers of a comparison with the dense model on a text, each with its 95 % interval."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from pandas import DataFrame

from core.evaluation.outcomes import HIGHEST
from core.findings.numbers.intervals import interval
from core.findings.numbers.paired import difference, distance_interval
from core.results import KL, Measurement
from core.specs import Perplexity
from core.statistics.correlations import DIFFERENCES, VALUES, error_of

DENSE, RATIO = "dense perplexity", "perplexity / dense"


class Number(NamedTuple):
    """A number and the ends of its interval, None if unknown."""

    name: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class TextFidelity:
    """The perplexities of the dense model and of another one, and the other one's distance, on the same windows.

    The samples are those of `core.evaluation.perplexity.TextLosses`.
    """

    models: tuple[str, str]  # names of the dense model and of the other one
    text: Perplexity
    dense: Measurement
    dense_samples: DataFrame
    rows: list[Measurement]  # the other model's perplexity, and the metrics of `core.metrics.FIDELITY`
    samples: DataFrame

    @property
    def numbers(self) -> list[Number]:
        """The perplexities, their paired ratio, and the distance, each with its interval."""
        own, *distance = self.rows
        error = error_of(own.dataset, own.protocol, DIFFERENCES["perplexity"])
        ratio = difference("perplexity", self.dense_samples, self.samples, error)
        found = [_perplexity(DENSE, self.dense, self.dense_samples), _perplexity("perplexity", own, self.samples)]
        if ratio.ratio is not None:
            found.append(Number(RATIO, ratio.ratio, ratio.ratio_low, ratio.ratio_high))
        return [*found, *(Number(row.metric, row.value, *distance_interval(row)) for row in distance)]

    @property
    def records(self) -> list[dict[str, str | float | None]]:
        """A row per number for programs; that of kl names the windows without finite logits."""
        broken = " ".join(map(str, self.not_finite))
        return [
            {
                "dense": self.models[0],
                "other": self.models[1],
                "text": str(self.text),
                "number": one.name,
                "value": one.value,
                "low": one.low,
                "high": one.high,
                "n": self.dense.n,
                "dtype": str(self.dense.protocol["dtype"]),
                "windows_not_finite": broken if one.name == KL else "",
            }
            for one in self.numbers
        ]

    @property
    def not_finite(self) -> list[int]:
        """The windows on which the other model has no finite logits at some token, counted from 1."""
        (row,) = (row for row in self.rows if row.metric == KL)
        return [place + 1 for place in row.details.get("not_finite", ())]


def _perplexity(name: str, row: Measurement, samples: DataFrame) -> Number:
    losses = -samples["perplexity"].to_numpy(float)
    low, high = interval(float(losses.mean()), *error_of(row.dataset, row.protocol, VALUES["perplexity"])(losses))
    if low is None or high is None:
        return Number(name, row.value, None, None)
    low, high = (math.exp(min(end, HIGHEST)) for end in (low, high))
    return Number(name, row.value, low, high)
