"""A plot that records its lines and texts, so that further texts do not cover them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from dashboard.charts.elements import labels, marks
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.style import Properties

CORNERS = ("bottom right", "bottom left", "top left", "top right")
STEPS = 24  # places along a line that texts must not cover


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
        self.lines += labels.along(np.array(self.places(xs, heights)), STEPS)

    def write(self, at: tuple[float, float], text: str, side: str, color: str, group: str) -> None:
        """Write a text on a side of a point."""
        self.texts.append(labels.label_of(self.place(*at), text, side))
        marks.write(self.drawing, at[:1], at[1:], [text], side, 11, color, cliponaxis=False, legendgroup=group)

    def write_where_free(self, at: tuple[float, float], text: str, color: str, group: str) -> bool:
        """Write a text at a free corner of a point, inside the plot; return whether there is one."""
        (side,) = labels.named([self.place(*at)], [text], CORNERS, self.texts)
        if side:
            self.write(at, text, side, color, group)
        return bool(side)
