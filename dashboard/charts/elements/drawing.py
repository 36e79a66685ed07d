"""Builders of a chart and of its panels, with their elements: plain data that becomes one plotly figure at the end.

A plotly figure validates all its data at every addition, which would dominate the time of a chart. The metric is
written above the plot instead of along the y axis, and the legend below the plot, so that both fit a narrow screen.
`dashboard.exports.print_figures` draws the same traces with matplotlib.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.findings.numbers.reporting import TableRow
from dashboard.charts.elements.style import Properties, SeriesStyle, Theme, layout

Floats = Sequence[float | None] | np.ndarray | pd.Series
Texts = Sequence[str] | pd.Series

LOOKED_THROUGH = False  # whether plotly validates every property; it doubles the time of a chart, so that only tests do
ACROSS = 2  # columns of panels; two are legible on a phone
GAP = 0.05  # of the width, between two panels
TITLE = 34  # px above each panel
SCREEN = "screen"  # the `meta` of names and lines that prints place themselves, by their own widths
UNSEEN = {"size": 9, "color": "rgba(0, 0, 0, 0)"}  # an invisible marker that keeps a text at a distance

# Ticks of an axis of shares: `50 %` as in texts. Plotly itself writes `50%`.
PERCENT = {"tickformat": ".0%", "labelalias": {f"{sign}{n}%": f"{sign}{n} %" for sign in ("", "−") for n in range(101)}}
TICKS = (  # (highest over lowest value is below, steps in each decade)
    (3, (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8)),
    (8, (1, 1.5, 2, 3, 4, 5, 7)),
    (150, (1, 2, 5)),
    (3000, (1, 3)),
    (math.inf, (1,)),
)


class Drawing:
    """The traces and the layout of a chart, with plotly's property names."""

    def __init__(self, theme: Theme, height: int, title: str = "", across: str = ""):
        self.theme = theme
        self.traces: list[Properties] = []
        self.layout: Properties = layout(theme, height)
        if title:
            self.lay_out(title={"text": title})
        if across:
            self.lay_out(xaxis={"title": {"text": across}})

    def scatter(self, **trace: Any) -> None:  # Any: as of `Properties`
        """Add a scatter trace on top of the others, without hover texts or a legend entry unless `trace` has these."""
        silent = {} if "hovertemplate" in trace else {"hoverinfo": "skip"}
        unnamed = {} if "name" in trace else {"showlegend": False}
        self.trace("scatter", **silent | unnamed | trace)

    def trace(self, kind: str, **trace: Any) -> None:  # Any: as of `Properties`
        """Add a trace of any type on top of the others."""
        self.traces.append({"type": kind, **trace})

    def line(self, x: Floats, y: Floats, color: str, width: float, dash: str = "solid", **more: object) -> None:
        """Draw a line without markers."""
        self.scatter(x=x, y=y, mode="lines", line={"color": color, "dash": dash, "width": width}, **more)

    def curve(
        self,
        x: Floats | Sequence[str],
        y: Floats,
        style: SeriesStyle,
        pattern: str | None = None,
        width: float = 2,
        **more: object,
    ) -> None:
        """Draw a line with markers."""
        line = {"color": style.color, "dash": style.dash, "width": width}
        self.scatter(x=x, y=y, mode="lines+markers", line=line, marker=style.marker(self.theme, pattern), **more)

    def label(
        self, x: Floats, y: Floats, text: Texts, side: str | pd.Series, size: int, color: str, **more: object
    ) -> None:
        """Write a text on a side of each point."""
        mark: Properties = {"marker": UNSEEN, "textfont": {"size": size, "color": color}, **more}
        self.scatter(x=x, y=y, mode="markers+text", text=text, textposition=side, **mark)

    def ring(
        self, x: Floats, y: Floats | Texts, size: int, color: str, symbol: str = "circle-open", **more: object
    ) -> None:
        """Draw a ring, or another open `symbol`, around each point."""
        mark = {"symbol": symbol, "size": size, "color": color, "line": {"width": 2}}
        self.scatter(x=x, y=y, mode="markers", marker=mark, **more)

    def area(self, x: Floats, y: Floats, color: str, **more: object) -> None:
        """Fill the area between the corners."""
        self.scatter(x=x, y=y, fill="toself", fillcolor=color, mode="lines", line={"width": 0}, **more)

    def box(self, across: tuple[float, float], up: tuple[float, float], color: str, **more: object) -> None:
        """Fill a rectangle from its ends across and up."""
        (left, right), (low, high) = across, up
        self.area([left, right, right, left], [low, low, high, high], color, **more)

    def arrow(self, start: tuple[float, float], end: tuple[float, float], series: str, color: str) -> None:
        """Draw an arrow of a series from one place to another."""
        x, y = zip(start, end, strict=True)
        head = {"symbol": "arrow", "angleref": "previous", "size": [0, 12], "opacity": 1, "line": {"width": 0}}
        line, mark = {"color": color, "width": 2}, head | {"color": color}
        self.scatter(x=x, y=y, mode="lines+markers", legendgroup=series, line=line, marker=mark)

    def entry(self, name: str, group: str, mode: str, mark: Properties, line: Properties | None = None) -> None:
        """Add an entry of the legend; a trace's own entry could show the mark of a diverged point."""
        self.scatter(x=[None], y=[None], mode=mode, name=name, legendgroup=group, marker=mark, line=line)

    def lay_out(self, **more: Any) -> None:  # Any: as of `Properties`
        """Update the layout; mappings are merged, other values replaced."""
        self.layout = _joined(self.layout, more)

    def log_axis(
        self, low: float, high: float, top: float | None = None, band: Mapping[float, str] | None = None
    ) -> None:
        """Make the y axis logarithmic from `low` to `high`, with ticks up to `top`, by default its end.

        `band` has further ticks with their names.
        """
        ticks = log_ticks(low, top or high)
        texts = [f"{tick:,.0f}" if tick.is_integer() else f"{tick:g}" for tick in ticks]
        band = band or {}
        self.lay_out(
            yaxis={
                "type": "log",
                "range": [math.log10(low), math.log10(high)],
                "tickvals": [*ticks, *band],
                "ticktext": [*texts, *band.values()],
                "minor": {"dtick": "D1", "ticks": "outside", "ticklen": 2, "showgrid": False},
            }
        )

    def across(self, y: float, line: Properties, **more: Any) -> None:  # Any: as of `Properties`
        """Draw a horizontal line across the plot."""
        ends = {"x0": 0, "x1": 1, "xref": "x domain", "y0": y, "y1": y, "yref": "y"}
        shape = {"type": "line", **ends, "line": line, **more}
        self.lay_out(shapes=[*self.layout.get("shapes", ()), shape])

    def write(self, **annotation: Any) -> None:  # Any: as of `Properties`
        """Add a text at any place of the figure."""
        self.lay_out(annotations=[*self.layout.get("annotations", ()), annotation])

    def figure(self) -> go.Figure:
        """Return the figure."""
        return go.Figure(self.traces, self.layout, _validate=LOOKED_THROUGH)


def log_ticks(low: float, high: float) -> list[float]:
    """Return readable ticks of a log axis: 1, 2, 5 of each decade, or fewer steps for many decades."""
    steps = next(steps for most, steps in TICKS if high / low < most)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]


def named_axis(values: Sequence[str], names: Sequence[str]) -> Properties:
    """Return an axis with a tick and a name for each value, in order."""
    every = list(values)
    return {"categoryorder": "array", "categoryarray": every, "tickvals": every, "ticktext": list(names)}


def origin_pairs(points: pd.DataFrame) -> list[tuple[TableRow, TableRow]]:
    """Return (origin, tuned) rows: each reconstructed or fine-tuned point with its origin, if that is shown."""
    every = points.to_dict("records")
    there = {(row["series_label"], row["amount_label"], row.get("task")): row for row in every}
    tuned = [row for row in every if isinstance(row["parent_label"], str)]
    origins = [(there.get((row["parent_label"], row["amount_label"], row.get("task"))), row) for row in tuned]
    return [(origin, row) for origin, row in origins if origin is not None]


def error_bars(low: Floats, shown: Floats, high: Floats, finite: Sequence[bool] | pd.Series, color: str) -> Properties:
    """Return error bars from `low` to `high` around the `shown` values that are `finite`."""
    ends, middle = np.array([low, high], float), np.asarray(shown, float)
    ends[:, ~(np.asarray(finite) & (ends[1] > ends[0]))] = np.nan
    reach = {"array": ends[1] - middle, "arrayminus": middle - ends[0]}
    return {"type": "data", "symmetric": False, **reach, "color": color, "thickness": 1.2, "width": 3}


def _joined(before: Properties, more: Properties) -> Properties:
    both = {
        name: _joined(before[name], value)
        for name, value in more.items()
        if isinstance(value, dict) and isinstance(before.get(name), dict)
    }
    return {**before, **more, **both}


class Panels:
    """A chart with panels from left to right, then from top to bottom."""

    def __init__(self, theme: Theme, count: int, high: int, around: int, across: int = ACROSS):
        self._across = min(across, count)
        self._down = -(-count // self._across)
        self._count, self._around, self._color = count, around, theme.text
        self.drawing = Drawing(theme, around + self._down * (TITLE + high))

    def add(self, place: int, title: str, x: Properties, y: Properties) -> Properties:
        """Add a panel, whose y axis has labels in the first column only; return the properties of its traces.

        `place` is its number from 0, and `x` and `y` are properties of its axes.
        """
        column, row = place % self._across, place // self._across
        gap = GAP if self._across > 1 else 0.0
        wide, high = (1 - gap * (self._across - 1)) / self._across, 1 / self._down
        room = TITLE / (self.drawing.layout["height"] - self._around) if self._across > 1 else 0.0
        number = str(place + 1) if place else ""
        left, top = column * (wide + gap), 1 - row * high
        across = {"domain": [left, left + wide], "anchor": f"y{number}", "showticklabels": row == self._down - 1}
        up = {"domain": [top - high, top - room], "anchor": f"x{number}", "showticklabels": not column}
        for name, common, own in (("xaxis", across, x), ("yaxis", up, y)):
            self.drawing.lay_out(**{f"{name}{number}": self.drawing.layout[name] | common})
            self.drawing.lay_out(**{f"{name}{number}": own})
        if title:
            place_above = {"xref": f"x{number} domain", "yref": f"y{number} domain", "x": 0, "y": 1}
            sides = {"xanchor": "left", "yanchor": "bottom", "align": "left", "showarrow": False}
            font = {"size": 11, "color": self._color}  # two columns fit a phone
            self.drawing.write(text=title, font=font, **place_above, **sides)
        return {"xaxis": f"x{number}", "yaxis": f"y{number}"}

    def lowest(self, place: int) -> bool:
        """Return whether a panel has no other panel below it."""
        return place + self._across >= self._count
