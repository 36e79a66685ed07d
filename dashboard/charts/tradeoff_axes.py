"""Parts of the trade-off chart: heights of its points, ends of its quality axis, and its plot with free places."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from core.findings.axes import Axis
from core.findings.best.qualities import Quality
from dashboard.charts.elements import labels
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.style import Properties

HEADROOM = 0.28  # above the highest value of a linear axis, as a share of their range; a name fits there
BAND = 0.13  # share of the plot's height
LEAST = 1e-4  # lower values lie at the lower edge of a log axis; the divergence of the dense model is 0
EDGE = 0.04  # share of the plot's height between the lower edge of a log axis and the points there
ROOM = 0.1  # part of a log axis below the lowest and above the highest value, as a share of their distance
STEPS = (20, 10, 5, 2, 1, 0.5, 0.2, 0.1)  # between the ticks of percent
CORNERS = ("bottom right", "bottom left", "top left", "top right")
ALONG = 24  # places along a line that texts must not cover


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


def edge_words(rows: pd.DataFrame, quality: Quality, limit: float | None) -> str:
    """Describe the points that are not at their height, in sentences after a space each.

    `limit` is that of the drawn quality, in the units of the rows.
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


@dataclass
class Plot:
    """The plot of a figure: its ends, and the places of texts and lines."""

    drawing: Drawing
    across: labels.Place
    up: labels.Place
    log: bool  # whether the y axis is logarithmic
    texts: list[labels.Label] = field(default_factory=list)
    lines: list[labels.Place] = field(default_factory=list)

    def place(self, x: float, y: float) -> labels.Place:
        """Return the place of a point as shares of the plot's width and height."""
        low, height, high = (math.log(value) if self.log else value for value in (self.up[0], y, self.up[1]))
        return (x - self.across[0]) / (self.across[1] - self.across[0]), (height - low) / (high - low)

    def places(self, xs: Iterable[float], heights: Iterable[float]) -> list[labels.Place]:
        """Return the places of several points."""
        return [self.place(*at) for at in zip(xs, heights, strict=True)]

    def line(self, xs: Sequence[float], heights: Sequence[float], style: Properties, group: str) -> None:
        """Draw a straight line between two points."""
        self.drawing.scatter(x=xs, y=heights, mode="lines", line=style, legendgroup=group)
        self.lines += labels.along(np.array(self.places(xs, heights)), ALONG)

    def write(self, at: tuple[float, float], text: str, side: str, color: str, group: str) -> None:
        """Write a text on a side of a point."""
        self.texts.append(labels.label_of(self.place(*at), text, side))
        self.drawing.label(at[:1], at[1:], [text], side, 11, color, cliponaxis=False, legendgroup=group)

    def write_where_free(self, at: tuple[float, float], text: str, color: str, group: str) -> bool:
        """Write a text at a free corner of a point, inside the plot; return whether there is one."""
        (side,) = labels.named([self.place(*at)], [text], CORNERS, self.texts)
        if side:
            self.write(at, text, side, color, group)
        return bool(side)
