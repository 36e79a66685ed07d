"""Elements of charts: markers, error bars, arrows, and entries of the legend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.findings.numbers.reporting import TableRow
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.style import PATTERN_MARKS, Properties, SeriesStyle, Theme

Floats = Sequence[float] | np.ndarray | pd.Series
Texts = Sequence[str] | pd.Series

UNSEEN = {"size": 9, "color": "rgba(0, 0, 0, 0)"}  # an invisible marker that keeps a text at a distance


def marker(style: SeriesStyle, theme: Theme, pattern: str | None = None, **extra: float) -> Properties:
    """Return a marker: filled, or hollow in the style of its N:M amount; imported series are always hollow."""
    if style.symbol.endswith("-open"):
        return {"symbol": symbol(style, pattern), "size": 9, "color": style.color, "line": {"width": 2}} | extra
    if not is_hollow(pattern):
        return {"symbol": style.symbol, "size": 9, "color": style.color, "line": {"width": 0}} | extra
    edge = {"width": 2, "color": style.color}
    return {"symbol": symbol(style, pattern), "size": 9, "color": theme.paper, "line": edge} | extra


def is_hollow(pattern: str | float | None) -> bool:
    """Return whether an amount is N:M sparsity and not a ratio, bits per weight or a factor."""
    return isinstance(pattern, str) and ":" in pattern


def symbol(style: SeriesStyle, pattern: str | None) -> str:
    """Return the name of the marker for an N:M amount."""
    return style.symbol + PATTERN_MARKS.get(pattern or "", "")


def entry(drawing: Drawing, name: str, group: str, mode: str, mark: Properties, line: Properties | None = None) -> None:
    """Add an entry of the legend; a trace's own entry could show the mark of a diverged point."""
    drawing.scatter(x=[None], y=[None], mode=mode, name=name, legendgroup=group, marker=mark, line=line)


def curve(
    drawing: Drawing,
    x: Floats | Sequence[str],
    y: Floats,
    style: SeriesStyle,
    theme: Theme,
    pattern: str | None = None,
    width: float = 2,
    **more: object,
) -> None:
    """Draw a line with markers."""
    line = {"color": style.color, "dash": style.dash, "width": width}
    drawing.scatter(x=x, y=y, mode="lines+markers", line=line, marker=marker(style, theme, pattern), **more)


def write(
    drawing: Drawing, x: Floats, y: Floats, text: Texts, side: str | pd.Series, size: int, color: str, **more: object
) -> None:
    """Write a text on a side of each point."""
    font = {"size": size, "color": color}
    mark: Properties = {"marker": UNSEEN, **more}
    drawing.scatter(x=x, y=y, mode="markers+text", text=text, textposition=side, textfont=font, **mark)


def ring(
    drawing: Drawing, x: Floats, y: Floats | Texts, size: int, color: str, symbol: str = "circle-open", **more: object
) -> None:
    """Draw a ring, or another open `symbol`, around each point."""
    mark = {"symbol": symbol, "size": size, "color": color, "line": {"width": 2}}
    drawing.scatter(x=x, y=y, mode="markers", marker=mark, **more)


def area(drawing: Drawing, x: Floats, y: Floats, color: str, **more: object) -> None:
    """Fill the area between the corners."""
    drawing.scatter(x=x, y=y, fill="toself", fillcolor=color, mode="lines", line={"width": 0}, **more)


def box(drawing: Drawing, across: tuple[float, float], up: tuple[float, float], color: str, **more: object) -> None:
    """Fill a rectangle from its ends across and up."""
    (left, right), (low, high) = across, up
    area(drawing, [left, right, right, left], [low, low, high, high], color, **more)


def pairs(points: pd.DataFrame) -> list[tuple[TableRow, TableRow]]:
    """Return (origin, tuned) rows: each reconstructed or fine-tuned point with its origin, if that is shown."""
    every = points.to_dict("records")
    there = {(row["series_label"], row["amount_label"], row.get("task")): row for row in every}
    tuned = [row for row in every if isinstance(row["parent_label"], str)]
    origins = [(there.get((row["parent_label"], row["amount_label"], row.get("task"))), row) for row in tuned]
    return [(origin, row) for origin, row in origins if origin is not None]


def arrow(drawing: Drawing, start: tuple[float, float], end: tuple[float, float], series: str, color: str) -> None:
    """Draw an arrow of a series from one place to another."""
    drawing.scatter(
        x=[start[0], end[0]],
        y=[start[1], end[1]],
        mode="lines+markers",
        legendgroup=series,
        line={"color": color, "width": 2},
        marker={
            "symbol": "arrow",
            "angleref": "previous",
            "size": [0, 12],
            "opacity": 1,
            "color": color,
            "line": {"width": 0},
        },
    )


def bars(low: Floats, shown: Floats, high: Floats, finite: Sequence[bool] | pd.Series, color: str) -> Properties:
    """Return error bars from `low` to `high` around the `shown` values that are `finite`."""
    ends, middle = np.array([low, high], float), np.asarray(shown, float)
    ends[:, ~(np.asarray(finite) & (ends[1] > ends[0]))] = np.nan
    return {
        "type": "data",
        "symmetric": False,
        "array": ends[1] - middle,
        "arrayminus": middle - ends[0],
        "color": color,
        "thickness": 1.2,
        "width": 3,
    }
