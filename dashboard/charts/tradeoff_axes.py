"""Heights of the trade-off chart: those of its points, and the ends of its quality axis."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from core.findings.axes import Axis
from core.findings.best.qualities import Quality
from core.notation.formatting import format_number

HEADROOM = 0.28  # above the highest value of a linear axis, as a share of their range; a name fits there
BAND = 0.13  # share of the plot's height
LEAST = 1e-4  # lower values lie at the lower edge of a log axis; the divergence of the dense model is 0
EDGE = 0.04  # share of the plot's height between the lower edge of a log axis and the points there
ROOM = 0.1  # part of a log axis below the lowest and above the highest value, as a share of their distance
STEPS = (20, 10, 5, 2, 1, 0.5, 0.2, 0.1)  # between the ticks of percent


class Heights(NamedTuple):
    """Heights of the plot: its lower end, the end of its axis, and its upper end, above which nothing is drawn."""

    low: float
    top: float
    high: float

    @property
    def band(self) -> float:
        """The height of points above the axis."""
        return math.sqrt(self.top * self.high)

    @property
    def edge(self) -> float:
        """The height of points below a log axis."""
        height: float = self.low * (self.high / self.low) ** EDGE
        return height


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
        least, most = (known.min(), known.max()) if len(known) else (LEAST, 1.0)
        room = max(most / least, 10.0) ** ROOM
        low, top = least / room, most * room
    share = BAND if (rows["y"] > top).any() else 0.0
    return Heights(low, top, low * (top / low) ** (1 / (1 - share)))


def placed(rows: pd.DataFrame, quality: Quality, up: Heights) -> pd.DataFrame:
    """Return rows of `measured` with the drawn `height`, and `low` and `high` inside the plot.

    `lies` is False for points above a log axis, which are drawn in the band. Points below it are drawn at its edge.
    """
    lies = (rows["y"] <= up.top) | (not quality.log)
    height = rows["y"].where(lies, up.band).mask(rows["y"] < up.low, up.edge if quality.log else up.low)
    low, high = rows["low"].clip(lower=up.low), rows["high"].clip(upper=up.high)
    return rows.assign(height=height, lies=lies, low=low, high=high)


def percent_ticks(up: Heights) -> list[float]:
    """Return the ticks of an axis whose upper end is above 100 %: at least four up to 100."""
    step = next((step for step in STEPS if step * 3 <= 100 - up.low), STEPS[-1])
    return [100 - count * step for count in range(int((100 - up.low) / step), -1, -1)]


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
