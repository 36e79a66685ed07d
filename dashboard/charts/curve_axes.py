"""Parts of the perplexity curve: the ends of both axes, the places of N:M amounts, and the names of series."""

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
from dashboard.charts.elements import labels, marks
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.figures import SCREEN
from dashboard.charts.elements.style import Properties, SeriesStyle, Theme

HEIGHT = 440  # px
SLOT = 0.1  # ratio from the highest ratio to the first N:M amount, and from one to the next
PLOT = HEIGHT - 80  # px
LETTER, LINE, BETWEEN = 6.4, 15, 6  # px: of a label at the end of a line, and between labels
AFTER = 12  # px from the end of the plot to a label


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


def write_names(frame: Frame, of_series: Mapping[str, Sequence[TableRow]], styles: Mapping[str, SeriesStyle]) -> None:
    """Write each series' name at the right of the plot, near the height of its end, with a thin line to it."""
    drawing, axis, height, right = frame.drawing, frame.axis, frame.height, frame.span[1]
    ends = []
    for series, rows in of_series.items():
        last = (ordered(rows, axis) or sorted(rows, key=itemgetter(axis.column)))[-1]
        ends.append((last[axis.column], frame.height_of(last["value"]), labels.wrapped(series), styles[series]))
    if not ends:
        return
    decades = math.log(height[1] / height[0])
    wanted = [math.log(y / height[0]) / decades for _, y, _, _ in ends]
    tall = [(LINE * (1 + text.count("<br>")) + BETWEEN) / PLOT for *_, text, _ in ends]
    pixels = LETTER * max(len(part) for *_, text, _ in ends for part in text.split("<br>"))
    drawing.lay_out(margin={"r": round(AFTER + pixels + 4)})
    for (x, y, text, style), at in zip(ends, labels.spread(wanted, tall), strict=True):
        level = height[0] * math.exp(decades * at)
        line = {"color": style.color, "width": 1, "dash": "1px,3px"}  # unlike the dashes of series
        drawing.scatter(x=[x, right], y=[y, level], mode="lines", line=line, meta=SCREEN, opacity=0.7)
        marks.write(
            drawing, [right], [level], [text], "middle right", 12, frame.theme.text, cliponaxis=False, meta=SCREEN
        )
