"""Several panels with separate axes in one chart."""

from __future__ import annotations

from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.style import Properties, Theme

ACROSS = 2  # columns of panels; two are legible on a phone
GAP = 0.05  # of the width, between two panels
TITLE = 34  # px above each panel


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
