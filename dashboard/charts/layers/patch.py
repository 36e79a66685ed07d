"""A square part of a weight matrix, weight by weight."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.style import Theme
from dashboard.charts.layers.heatmap import ABOVE, BELOW, PLAIN

HEIGHT = 380  # pixels
NAMES = {0: "kept", 1: "zero"}  # of the values of a mask


def weight_patch(weights: np.ndarray, origin: tuple[int, int], most: float, theme: Theme, title: str) -> go.Figure:
    """Draw weights in colours whose middle is zero.

    Args:
        weights: Part of a matrix, (rows, columns).
        origin: Index of its first output and its first input.
        most: Absolute weight of the strongest colour, so that several parts are comparable.
        theme: Colours.
        title: Title of the chart.
    """
    colours = {"colorscale": [[0, BELOW], [0.5, theme.paper], [1, ABOVE]], "zmin": -most, "zmax": most, "zmid": 0}
    bar = {"tickformat": ".2g", "thickness": 12, "outlinewidth": 0}
    hover = "output %{y}, input %{x}<br>weight %{z:.4g}<extra></extra>"
    return _draw(weights, origin, theme, title, colorbar=bar, hovertemplate=hover, **colours)


def mask_patch(zeros: np.ndarray, origin: tuple[int, int], theme: Theme, title: str) -> go.Figure:
    """Draw which weights are zero.

    Args:
        zeros: Whether each weight is zero, (rows, columns).
        origin: Index of its first output and its first input.
        theme: Colours.
        title: Title of the chart.
    """
    bar = {"tickvals": list(NAMES), "ticktext": list(NAMES.values()), "thickness": 12, "outlinewidth": 0}
    colours = {"colorscale": [[0, theme.palette[1]], [0.5, theme.palette[1]], [0.5, theme.grid], [1, theme.grid]]}
    names = np.where(zeros, NAMES[1], NAMES[0])
    hover = "output %{y}, input %{x}<br>%{text}<extra></extra>"
    more = {"zmin": 0, "zmax": 1, "text": names, "hovertemplate": hover, "colorbar": bar, **colours}
    return _draw(zeros.astype(int), origin, theme, title, **more)


def _draw(values: np.ndarray, origin: tuple[int, int], theme: Theme, title: str, **trace: object) -> go.Figure:
    rows, columns = values.shape
    drawing = Drawing(theme, HEIGHT, title, "Input")
    x, y = (list(range(first, first + size)) for first, size in zip(origin[::-1], (columns, rows), strict=True))
    drawing.trace("heatmap", z=values, x=x, y=y, **trace)
    drawing.lay_out(xaxis=PLAIN, yaxis={"autorange": "reversed", "title": {"text": "Output"}, **PLAIN})
    return drawing.figure()
