"""Histograms of numbers of matrices and of the weights of one matrix."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.style import Properties, Theme

BINS = 24
WEIGHT_BINS = 80
HEIGHT = 260  # pixels
OUTSIDE = 0.0005  # share of the weights at each end that the histogram leaves out


def number_histogram(values: np.ndarray, theme: Theme, title: str, chosen: float | None = None) -> go.Figure:
    """Draw how many matrices have which number.

    Args:
        values: The number of each matrix, (N,).
        theme: Colours.
        title: Name of the number.
        chosen: Number of the chosen matrix, which gets a line.
    """
    counts, edges = np.histogram(values, BINS)
    drawing = Drawing(theme, HEIGHT)
    _steps(drawing, edges, counts, {"color": theme.palette[1], "width": 1}, theme.palette[5], "matrices")
    if chosen is not None:
        line = {"color": theme.text, "width": 2, "dash": "dash"}
        drawing.scatter(x=[chosen, chosen], y=[0, int(counts.max())], mode="lines", line=line, name="chosen matrix")
    drawing.lay_out(xaxis={"title": {"text": title}}, title={"text": "Matrices"})
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
    drawing = Drawing(theme, HEIGHT)
    lines = ({"color": theme.muted, "width": 1, "dash": "dot"}, {"color": theme.palette[1], "width": 2})
    for (name, values), line in zip(weights.items(), lines, strict=True):
        _steps(drawing, edges, np.histogram(values, edges)[0] / len(every), line, None, name)
    drawing.lay_out(xaxis={"title": {"text": "Weight"}}, title={"text": "Share of all weights"})
    return drawing.figure()


def _steps(
    drawing: Drawing, edges: np.ndarray, counts: np.ndarray, line: Properties, fill: str | None, name: str
) -> None:
    """Draw bins as the outline of their bars."""
    x, y = np.repeat(edges, 2)[1:-1], np.repeat(counts, 2)
    if fill:
        around = np.concatenate([x, x[::-1]]), np.concatenate([y, np.zeros(len(y))])
        drawing.scatter(
            x=around[0], y=around[1], mode="lines", line={"width": 0}, fill="toself", fillcolor=fill, hoverinfo="skip"
        )
        drawing.traces[-1]["showlegend"] = False
    drawing.scatter(
        x=x,
        y=y,
        mode="lines",
        line=line,
        name=name,
        hovertemplate=f"{name}<br>%{{x:.3g}}: %{{y:.3g}}<extra></extra>",
    )
