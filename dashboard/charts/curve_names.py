"""Texts on the perplexity curve: the amounts of single points, and the names of series at their ends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import itemgetter

from core.findings.numbers.reporting import TableRow
from dashboard.charts.curve_axes import HEIGHT, Frame, ordered
from dashboard.charts.elements import labels, marks
from dashboard.charts.elements.figures import SCREEN
from dashboard.charts.elements.style import SeriesStyle

PLOT = HEIGHT - 80  # px
LETTER, LINE, BETWEEN = 6.4, 15, 6  # px: of a label at the end of a line, and between labels
AFTER = 12  # px from the end of the plot to a label


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
