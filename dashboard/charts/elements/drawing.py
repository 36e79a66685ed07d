"""Builders of a chart and of its panels: plain data that becomes one plotly figure at the end.

A plotly figure validates all its data at every addition, which would dominate the time of a chart.
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from dashboard.charts.elements.style import Properties, Theme, layout

LOOKED_THROUGH = False  # whether plotly validates every property; it doubles the time of a chart, so that only tests do
ACROSS = 2  # columns of panels; two are legible on a phone
GAP = 0.05  # of the width, between two panels
TITLE = 34  # px above each panel


class Drawing:
    """The traces and the layout of a chart, with plotly's property names."""

    def __init__(self, theme: Theme, height: int, title: str = "", across: str = ""):
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

    def lay_out(self, **more: Any) -> None:  # Any: as of `Properties`
        """Update the layout; mappings are merged, other values replaced."""
        self.layout = _joined(self.layout, more)

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
        """Add a panel to the figure, whose y axis has labels in the first column only.

        Args:
            place: Number of the panel, from 0.
            title: Text above it, if there are several columns.
            x: Properties of its x axis.
            y: Properties of its y axis.

        Returns:
            The properties of its traces, such as `{"xaxis": "x2", "yaxis": "y2"}`.
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
