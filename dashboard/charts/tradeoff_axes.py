"""Heights of the trade-off chart: those of its points, and the ends of its quality axis."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from core.notation.formatting import format_number
from dashboard.charts.elements.figures import Axis
from dashboard.charts.qualities import Quality

HEADROOM = 0.28  # above the highest value of a linear axis, as a share of their range; a name fits there
BAND = 0.13  # share of the plot's height
LEAST = 1e-4  # lower values lie at the lower edge of a log axis; the divergence of the dense model is 0
ROOM = 1.6  # factor of a log axis below the lowest and above the highest value


class Heights(NamedTuple):
    """Heights of the plot: its lower end, the end of its axis, and its upper end, above which nothing is drawn."""

    low: float
    top: float
    high: float

    @property
    def band(self) -> float:
        """The height of points above the axis."""
        return math.sqrt(self.top * self.high)


def measured(rows: pd.DataFrame, cost: Axis, quality: Quality) -> pd.DataFrame:
    """Return rows with `x`, `y` and the ends `low` and `high` of their bars, in the units of the axes."""
    value, nothing = quality.times * rows[quality.drawn].astype(float), pd.Series(math.nan, rows.index)
    low, high = (quality.times * rows.get(f"interval_{end}", nothing).astype(float) for end in ("low", "high"))
    if quality.lost:  # their intervals are relative to dense
        base = value - quality.times * rows[quality.lost].astype(float)
        low, high = base + low, base + high
    return rows.assign(x=rows[cost.column].astype(float), y=value, low=low, high=high)


def heights(rows: pd.DataFrame, quality: Quality, limit: float | None) -> Heights:
    """Return the heights of the plot: the span of the quality, or that of all values, and the limit."""
    given = [limit] if limit is not None else []
    if not quality.log:
        bars = rows[rows.get("front", pd.Series(False, rows.index)).eq(True)]
        ends = pd.Series([*rows["y"], *bars["low"], *bars["high"], *given]).dropna()
        high = ends.max() - ends.min() or 1.0
        top = ends.max() + HEADROOM * high
        return Heights(ends.min() - 0.1 * high, top, top)
    if quality.span:
        low, top = min(quality.span[0], 0.97 * rows["y"].min()), max(quality.span[1], *given, 0.0)
    else:
        ends = pd.Series([*rows["y"], *given], dtype=float)
        known = ends[ends.ge(LEAST) & ends.lt(math.inf)]
        low, top = known.min() / ROOM if len(known) else LEAST, ROOM * known.max() if len(known) else 1.0
    share = BAND if (rows["y"] > top).any() else 0.0
    return Heights(low, top, low * (top / low) ** (1 / (1 - share)))


def placed(rows: pd.DataFrame, quality: Quality, up: Heights) -> pd.DataFrame:
    """Return rows of `measured` with the drawn `height`, and `low` and `high` inside the plot.

    `lies` is False for points above a log axis, which are drawn in the band.
    """
    lies = (rows["y"] <= up.top) | (not quality.log)
    height, low = rows["y"].where(lies, up.band).clip(lower=up.low), rows["low"].clip(lower=up.low)
    return rows.assign(height=height, lies=lies, low=low, high=rows["high"].clip(upper=up.high))


def band_title(quality: Quality, up: Heights) -> str:
    """Return the tick of the band."""
    return f"over {up.top:g}" if quality.span else format_number(math.inf)


def edge_words(rows: pd.DataFrame, quality: Quality, limit: float | None) -> str:
    """Describe the points that are not at their height, in sentences after a space each.

    Args:
        rows: The drawn rows.
        quality: The y axis.
        limit: The limit of the drawn quality, in the units of the rows.
    """
    values = rows[quality.drawn].astype(float)
    if quality.span:
        return f" Triangles in the grey band: over {max(quality.span[1], limit or 0.0):g} times dense."
    text = ""
    if quality.log and values.eq(math.inf).any():
        text += f" Triangles in the grey band: {quality.infinite}."
    if quality.log and values.lt(LEAST).any():
        text += f" At the lower edge: below {LEAST:g} nats."
    return text
