"""The additive rule for stages on different weights: their effects on the loss add up. And its error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from core.analysis.intervals import interval

FEWEST = 5  # measured chains; fewer show no error of the rule
Values = TypeVar("Values", float, pd.Series)


def predicted(first: Values, second: Values, dense: Values) -> Values:
    """Return the perplexity of two stages together, from that of each alone.

    ln(perplexity) is that of the dense model plus the effects of both stages.
    """
    return first * second / dense


@dataclass(frozen=True)
class RuleError:
    """The errors of the additive rule.

    Each is ln(measured / predicted perplexity) of a measured chain. A prediction uses the two parts of its chain only,
    so each error is that of a left-out chain.
    """

    errors: tuple[float, ...] = ()

    @property
    def spread(self) -> float | None:
        """The root mean square of the errors, which includes their mean; None below `FEWEST` chains."""
        if len(self.errors) < FEWEST:
            return None
        return math.sqrt(math.fsum(error**2 for error in self.errors) / len(self.errors))

    def interval(self, perplexity: float) -> tuple[float | None, float | None]:
        """Return the 95 % prediction interval of a predicted perplexity or of its multiple of dense."""
        low, high = interval(math.log(perplexity), self.spread, len(self.errors) - 1)
        return (None, None) if low is None or high is None else (math.exp(low), math.exp(high))
