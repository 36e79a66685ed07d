"""Histograms of numbers of matrices and of the weights of one matrix."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.elements import marks
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.style import Properties, Theme

BINS = 24
WEIGHT_BINS = 80
HEIGHT = 260  # pixels
MARK = 14  # pixels: length of the mark of a matrix
OUTSIDE = 0.0005  # share of the weights at each end that the histogram leaves out


def number_histogram(values: pd.Series, theme: Theme, title: str, chosen: str) -> go.Figure:
    """Draw how many matrices have which number, with a mark for each matrix.

    Args:
        values: The number of each matrix, by its name.
        theme: Colours.
        title: Name of the number.
        chosen: Name of the chosen matrix, which gets a line if it has a number.
    """
    counts, edges = np.histogram(values, BINS)
    drawing = Drawing(theme, HEIGHT, "Matrices", title)
    _steps(drawing, edges, counts, {"color": theme.palette[1], "width": 1}, theme.palette[5], "matrices")
    drawing.scatter(
        x=values.tolist(),
        y=[0] * len(values),
        mode="markers",
        marker={"symbol": "line-ns-open", "size": MARK, "color": theme.text},
        customdata=[[name] for name in values.index],
        hovertemplate="%{customdata[0]}<br>%{x:.3g}<extra></extra>",
        name="one matrix",
    )
    if chosen in values:
        line = {"color": theme.text, "width": 2, "dash": "dash"}
        ends = {"x": [values[chosen]] * 2, "y": [0, int(counts.max())]}
        drawing.scatter(**ends, mode="lines", line=line, name="chosen matrix")
    return drawing.figure()


def weight_histogram(weights: Mapping[str, np.ndarray], theme: Theme) -> go.Figure:
    """Draw the densities of the nonzero weights of some matrices, in bins that all share.

    Args:
        weights: Nonzero weights by the name of the matrix, (N,) each.
        theme: Colours.
    """
    every = np.concatenate(list(weights.values()))
    low, high = (float(np.quantile(every, share)) for share in (OUTSIDE, 1 - OUTSIDE))
    edges = np.linspace(low, high, WEIGHT_BINS + 1)
    drawing = Drawing(theme, HEIGHT, "Share of all weights", "Weight")
    lines = ({"color": theme.muted, "width": 1, "dash": "dot"}, {"color": theme.palette[1], "width": 2})
    for (name, values), line in zip(weights.items(), lines, strict=True):
        _steps(drawing, edges, np.histogram(values, edges)[0] / len(every), line, None, name)
    return drawing.figure()


def _steps(
    drawing: Drawing, edges: np.ndarray, counts: np.ndarray, line: Properties, fill: str | None, name: str
) -> None:
    """Draw bins as the outline of their bars."""
    x, y = np.repeat(edges, 2)[1:-1], np.repeat(counts, 2)
    if fill:
        marks.area(drawing, np.concatenate([x, x[::-1]]), np.concatenate([y, np.zeros(len(y))]), fill)
    hover = f"{name}<br>%{{x:.3g}}: %{{y:.3g}}<extra></extra>"
    drawing.scatter(x=x, y=y, mode="lines", line=line, name=name, hovertemplate=hover)
