"""Texts on the perplexity curve: the amounts of single points, and the names of series at their ends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import itemgetter

import pandas as pd

from core.findings.axes import Axis
from core.findings.numbers.reporting import TableRow
from dashboard.charts.curve_axes import HEIGHT, ordered
from dashboard.charts.elements import labels, marks
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.figures import SCREEN
from dashboard.charts.elements.style import SeriesStyle, Theme

PLOT = HEIGHT - 80  # px
LETTER, LINE, BETWEEN = 6.4, 15, 6  # px: of a label at the end of a line, and between labels
AFTER = 12  # px from the end of the plot to a label


def write_amounts(drawing: Drawing, part: pd.DataFrame, column: str, color: str) -> None:
    """Write the texts of `part` at their places."""
    drawing.scatter(
        x=part[column],
        y=part["place"],
        mode="markers+text",
        marker=marks.UNSEEN,
        text=part["text"],
        textposition=part["side"],
        textfont={"size": 11, "color": color},
        cliponaxis=False,
        hoverinfo="skip",
    )


def write_names(
    drawing: Drawing,
    of_series: Mapping[str, Sequence[TableRow]],
    axis: Axis,
    styles: Mapping[str, SeriesStyle],
    theme: Theme,
    span: tuple[float, float],
    height: tuple[float, float],
    cap: float,
    place: float,
) -> None:
    """Write each series' name at the right of the plot, near the height of its end, with a thin line to it."""
    ends = []
    for series, rows in of_series.items():
        last = (ordered(rows, axis) or sorted(rows, key=itemgetter(axis.column)))[-1]
        y = place if last["value"] > cap else last["value"]
        text = labels.wrapped(series)
        ends.append((last[axis.column], y, text, styles[series]))
    if not ends:
        return
    decades = math.log(height[1] / height[0])
    wanted = [math.log(y / height[0]) / decades for _, y, _, _ in ends]
    tall = [(LINE * (1 + text.count("<br>")) + BETWEEN) / PLOT for *_, text, _ in ends]
    pixels = LETTER * max(len(part) for *_, text, _ in ends for part in text.split("<br>"))
    drawing.lay_out(margin={"r": round(AFTER + pixels + 4)})
    for (x, y, text, style), at in zip(ends, labels.spread(wanted, tall), strict=True):
        level = height[0] * math.exp(decades * at)
        drawing.scatter(
            x=[x, span[1]],
            y=[y, level],
            mode="lines",
            line={"color": style.color, "width": 1, "dash": "1px,3px"},  # unlike the dashes of series
            meta=SCREEN,
            opacity=0.7,
            hoverinfo="skip",
        )
        drawing.scatter(
            x=[span[1]],
            y=[level],
            mode="markers+text",
            marker=marks.UNSEEN,
            text=[text],
            meta=SCREEN,
            textposition="middle right",
            textfont={"size": 12, "color": theme.text},
            cliponaxis=False,
            hoverinfo="skip",
        )
