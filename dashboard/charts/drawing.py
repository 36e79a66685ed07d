"""A chart in the making: plain data, of which plotly makes one figure when all is there.

A figure looks through all that it has whenever something is added to it, which would take longer than all else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from dashboard.charts.style import Theme, layout

LOOKED_THROUGH = False  # plotly's look at every property takes as long as the rest of a chart; tests have it


class Drawing:
    """The traces and the layout of a chart, as plotly names their properties."""

    def __init__(self, theme: Theme, height: int):
        self.traces: list[dict[str, Any]] = []
        self.layout: dict[str, Any] = layout(theme, height)

    def scatter(self, **trace: Any) -> None:
        """Draw a scatter trace over those that are there."""
        self.trace("scatter", **trace)

    def trace(self, kind: str, **trace: Any) -> None:
        """Draw a trace of any kind over those that are there."""
        self.traces.append({"type": kind, **trace})

    def lay_out(self, **more: Any) -> None:
        """Add to the layout; what is a mapping there and here is joined, and anything else replaced."""
        self.layout = _joined(self.layout, more)

    def across(self, y: float, line: Mapping[str, Any], **more: Any) -> None:
        """Draw a line from one end of the plot to the other at a height."""
        ends = {"x0": 0, "x1": 1, "xref": "x domain", "y0": y, "y1": y, "yref": "y"}
        shape = {"type": "line", **ends, "line": line, **more}
        self.lay_out(shapes=[*self.layout.get("shapes", ()), shape])

    def write(self, **annotation: Any) -> None:
        """Write a text anywhere in the figure."""
        self.lay_out(annotations=[*self.layout.get("annotations", ()), annotation])

    def figure(self) -> go.Figure:
        """Return what was drawn."""
        return go.Figure(self.traces, self.layout, _validate=LOOKED_THROUGH)


def _joined(before: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        name: _joined(before[name], value)
        for name, value in more.items()
        if isinstance(value, Mapping) and isinstance(before.get(name), Mapping)
    }
    return {**before, **more, **both}
