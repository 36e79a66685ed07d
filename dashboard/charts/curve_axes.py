"""Axes of the perplexity curve: the ends of both, and the places of N:M amounts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

import pandas as pd

from core.amount import Ratio
from core.findings.axes import Axis
from core.findings.best.budget import meaningful
from core.findings.numbers.reporting import TableRow
from core.findings.rows.points import amounts
from dashboard.charts.elements import marks
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.style import Properties, Theme

HEIGHT = 440  # px
SLOT = 0.1  # ratio from the highest ratio to the first N:M amount, and from one to the next


class Frame(NamedTuple):
    """The plot of a curve, with the ends of both axes."""

    drawing: Drawing
    axis: Axis
    theme: Theme
    span: tuple[float, float]
    height: tuple[float, float]
    cap: float  # above it, points have diverged
    place: float  # height of diverged points

    def height_of(self, value: float) -> float:
        """Return the height of a point on the plot."""
        return value if value <= self.cap else self.place


def slots(points: pd.DataFrame) -> dict[str, float]:
    """Return a place on the axis of ratios for each N:M amount; markers of all series at 50 % would hide each other."""
    hollow = points["pattern"].map(marks.is_hollow).astype(bool)
    top = points.loc[~hollow if (~hollow).any() else hollow, "ratio"].max()
    return {label: round(top + SLOT * place, 3) for place, label in enumerate(amounts(points[hollow]), 1)}


def slot_ticks(points: pd.DataFrame, slots: Mapping[str, float]) -> Properties:
    """Return the ticks of an axis of ratios: tenths up to the highest ratio, then the N:M amounts."""
    top = points.loc[~points["pattern"].isin(slots), "ratio"].max()
    tenths = [tenth / 10 for tenth in range(11) if tenth / 10 <= top]
    return {
        "tickvals": [*tenths, *slots.values()],
        "ticktext": [*(Ratio(tenth).label for tenth in tenths), *slots],
    }


def cap(dense: pd.DataFrame) -> float:
    """Return the perplexity above which a point has diverged."""
    return float(meaningful(math.nan if dense.empty else dense["value"].iloc[0]))


def span(points: pd.DataFrame, dense: pd.DataFrame, axis: Axis) -> tuple[float, float]:
    """Return the ends of the x axis; it excludes a dense model that is so far off that the points would crowd."""
    drawn, base = points[axis.column], dense[axis.column].dropna()
    wide = drawn.max() - drawn.min()
    far = wide > 0 and not axis.percent and (base - drawn.max()).gt(wide).any()
    there = [*drawn, *([] if far else base)] or [0.0]
    least, most = (0.0 if axis.percent else min(there)), max(there)
    room = most - least or abs(most) or 1.0
    return least - (0.03 if axis.percent else 0.06) * room, most + 0.06 * room


def heights(finite: pd.DataFrame, cap: float, share: float) -> tuple[float, float, float]:
    """Return three heights: bottom of the y axis, top of the finite points, and axis top (`share` above)."""
    values = pd.concat([finite[name].clip(upper=cap) for name in ("low", "value", "high")])
    values = values[values > 0] if len(values) else pd.Series([1.0])
    reach = max(values.max() / values.min(), 1.5)
    low, top = values.min() / reach**0.09, values.min() * reach**1.07
    return low, top, low * (top / low) ** (1 / (1 - share))


def ordered(rows: Sequence[TableRow], axis: Axis) -> list[TableRow]:
    """Return the points on the line of a series, in order along the axis."""
    return sorted((row for row in rows if not marks.is_hollow(row["pattern"])), key=itemgetter(axis.column))
