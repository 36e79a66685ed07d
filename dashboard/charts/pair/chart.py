"""Chart of two variants: their paired difference in each number, with its interval."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from core.metrics import MEANS
from dashboard.charts.elements import marks
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.facets import Panels
from dashboard.charts.elements.labels import wrapped
from dashboard.charts.elements.style import Properties, SeriesStyle, Theme

PANELS = {  # unit: (no difference, title)
    "ratio": (1.0, "Perplexity, ratio"),
    "nats": (0.0, f"{', '.join(one.label for one in MEANS.values() if one.unit == 'nats')}, nats"),
    "points": (0.0, "Accuracy, agreement: points"),
}
COLOURS, SYMBOLS = (1, 0), ("circle", "square", "diamond")  # of the palette; of first, second and neither
ROW, FRAME = 34, 110  # px: per number, and around the panels
ROOM = 0.08  # of the axis, beside the outermost interval


def difference_chart(rows: pd.DataFrame, names: tuple[str, str], theme: Theme) -> go.Figure:
    """Draw the difference of a variant to another in each number, each unit in a panel of its own.

    Args:
        rows: Rows of `core.findings.pairs.numbers.number_rows`.
        names: Names of the first and the second variant.
        theme: Colours.
    """
    units = [unit for unit in PANELS if unit in set(rows["unit"])]
    heights = {number: len(rows) - place for place, number in enumerate(rows["number"])}
    panels = Panels(theme, len(units), ROW * len(rows), FRAME, across=len(PANELS))
    drawing, ends = panels.drawing, [0.5, len(rows) + 0.5]
    y = {"tickvals": list(heights.values()), "ticktext": [wrapped(number) for number in heights]}
    y |= {"showgrid": False, "ticks": "", "range": ends}
    for place, unit in enumerate(units):
        none, title = PANELS[unit]
        part = rows[rows["unit"] == unit]
        values = pd.concat([part[name] for name in ("value", "low", "high")]).dropna()
        low, high = min(values.min(), none), max(values.max(), none)
        room = ROOM * (high - low) or ROOM
        x = {"range": [low - room, high + room]}
        axes = panels.add(place, f"<b>{title}</b>" if len(units) > 1 else "", x, y)
        line = {"color": theme.text, "dash": "solid", "width": 1.4}
        drawing.scatter(x=[none, none], y=ends, mode="lines", line=line, **axes)
        _draw_part(drawing, part, theme, heights, axes)
    for better, text in ((0, f"{names[0]} is better"), (1, f"{names[1]} is better"), (-1, "not significant")):
        if (rows["better"] == better).any():
            marks.entry(drawing, text, text, "markers", marks.marker(_style(better, theme), theme))
    unit = f"{PANELS[units[0]][1]}: " if len(units) == 1 else ""
    drawing.lay_out(title={"text": f"{unit}{names[0]} relative to {names[1]}"})
    return drawing.figure()


def _draw_part(drawing: Drawing, part: pd.DataFrame, theme: Theme, heights: dict[str, int], axes: Properties) -> None:
    for better in part["better"].unique():
        group, style = part[part["better"] == better], _style(better, theme)
        drawing.scatter(
            x=group["value"],
            y=[heights[number] for number in group["number"]],
            mode="markers",
            marker=marks.marker(style, theme),
            error_x=marks.bars(group["low"], group["value"], group["high"], group["low"].notna(), style.color),
            customdata=group[["number", "hover_text"]].to_numpy(),
            hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
            **axes,
        )


def _style(better: int, theme: Theme) -> SeriesStyle:
    """Return the style of numbers in which the first (0), the second (1) or no variant (-1) is better."""
    colour = theme.muted if better < 0 else theme.palette[COLOURS[better]]
    return SeriesStyle(colour, "solid", SYMBOLS[better])
