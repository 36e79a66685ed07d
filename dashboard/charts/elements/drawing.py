"""Builder of a chart: plain data that becomes one plotly figure at the end.

A plotly figure validates all its data at every addition, which would dominate the time of a chart.
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from dashboard.charts.elements.style import Properties, Theme, layout

LOOKED_THROUGH = False  # whether plotly validates every property; it doubles the time of a chart, so that only tests do


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
