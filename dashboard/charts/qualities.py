"""Qualities of the trade-off: their axis, and the heights of the plot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from core.analysis.budget import PERPLEXITY, USABLE_TIMES_DENSE
from core.data.texts import called
from dashboard.charts.elements.figures import Axis, perplexity_title

HEADROOM = 0.28  # above the highest accuracy, as a share of their range; a name fits there
BAND = 0.13  # share of the plot's height
LOWEST = 0.8  # lower end of the axis of multiples; no variant is far below 1


@dataclass(frozen=True)
class Quality:
    """A quality: its column, its title, and the factor to its display unit."""

    column: str
    title: str
    corpus: str
    times: float = 1.0

    @property
    def lower(self) -> bool:
        """Whether lower is better; such a quality is drawn as multiples of the dense model's, on a log axis."""
        return self.column == PERPLEXITY

    @property
    def drawn(self) -> str:
        """The column that the chart shows."""
        return "times_dense" if self.lower else self.column

    @property
    def drawn_title(self) -> str:
        """The title of the y axis."""
        times = f"Perplexity on {called(self.corpus)}, times dense (log scale, lower is better)"
        return times if self.lower else self.title


class Heights(NamedTuple):
    """Heights of the plot: its lower end, the end of its axis, and its upper end, above which nothing is drawn."""

    low: float
    top: float
    high: float

    @property
    def band(self) -> float:
        """The height of points above the axis."""
        return math.sqrt(self.top * self.high)


def quality_of(column: str, corpus: str) -> Quality:
    """Return the quality of PERPLEXITY, on a corpus, or ACCURACY."""
    if column == PERPLEXITY:
        return Quality(column, perplexity_title(corpus), corpus)
    return Quality(column, "Mean accuracy of the seven tasks (%, higher is better)", corpus, 100.0)


def measured(rows: pd.DataFrame, cost: Axis, quality: Quality) -> pd.DataFrame:
    """Return rows with `x`, `y` and the ends `low` and `high` of their bars, in the units of the axes."""
    value, nothing = quality.times * rows[quality.drawn].astype(float), pd.Series(math.nan, rows.index)
    low, high = (quality.times * rows.get(f"interval_{end}", nothing).astype(float) for end in ("low", "high"))
    if not quality.lower:  # their intervals are relative to dense
        base = value - quality.times * rows["accuracy_lost"].astype(float)
        low, high = base + low, base + high
    return rows.assign(x=rows[cost.column].astype(float), y=value, low=low, high=high)


def heights(rows: pd.DataFrame, quality: Quality, limit: float | None) -> Heights:
    """Return the heights of the plot: multiples from 1 to `USABLE_TIMES_DENSE` or the limit, or all accuracies."""
    if not quality.lower:
        bars = rows[rows.get("front", pd.Series(False, rows.index)).eq(True)]
        ends = pd.Series([*rows["y"], *bars["low"], *bars["high"], *([limit] if limit is not None else [])]).dropna()
        high = ends.max() - ends.min() or 1.0
        top = ends.max() + HEADROOM * high
        return Heights(ends.min() - 0.1 * high, top, top)
    low, top = min(LOWEST, 0.97 * rows["y"].min()), max(USABLE_TIMES_DENSE, limit or 0.0)
    share = BAND if (rows["y"] > top).any() else 0.0
    return Heights(low, top, low * (top / low) ** (1 / (1 - share)))
