"""Chart of two variants: their paired difference in each number, with its interval.

A pure function from a DataFrame to a plotly Figure, as in `dashboard.charts.elements.figures`.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from core.findings.pairs.numbers import NATS, POINTS, RATIO
from dashboard.charts.elements import facets, marks
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.labels import wrapped
from dashboard.charts.elements.style import SeriesStyle, Theme

PANELS = {  # unit: (no difference, title)
    RATIO: (1.0, "Perplexity, ratio"),
    NATS: (0.0, "KL divergence, nats"),
    POINTS: (0.0, "Accuracy, agreement: points"),
}
COLOURS, SYMBOLS = (1, 0), ("circle", "square", "diamond")  # of the palette; of first, second and neither
ROW, FRAME, TITLE = 34, 110, 34  # px: per number, around the panels, above each panel
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
    drawing = Drawing(theme, FRAME + TITLE + ROW * len(rows))
    for place, unit in enumerate(units):
        none, title = PANELS[unit]
        axes = facets.axes(drawing, place, len(units), 1, FRAME, TITLE)
        drawn, part = {"xaxis": axes[0], "yaxis": axes[1]}, rows[rows["unit"] == unit]
        ends = (0.5, len(rows) + 0.5)
        line = {"color": theme.text, "dash": "solid", "width": 1.4}
        drawing.scatter(x=[none, none], y=ends, mode="lines", showlegend=False, hoverinfo="skip", line=line, **drawn)
        _draw_part(drawing, part, names, theme, heights, drawn)
        values = pd.concat([part[name] for name in ("value", "low", "high")]).dropna()
        low, high = min(values.min(), none), max(values.max(), none)
        room = ROOM * (high - low) or ROOM
        rest = {"tickvals": list(heights.values()), "ticktext": [wrapped(number) for number in heights]}
        rest |= {"showticklabels": place == 0, "showgrid": False, "ticks": "", "range": list(ends)}
        drawing.lay_out(**{f"xaxis{axes[0][1:]}": {"range": [low - room, high + room]}, f"yaxis{axes[1][1:]}": rest})
        if len(units) > 1:
            facets.title(drawing, axes, f"<b>{title}</b>", theme.text)
    for better, text in ((0, f"{names[0]} is better"), (1, f"{names[1]} is better"), (-1, "not significant")):
        if (rows["better"] == better).any():
            marks.entry(drawing, text, text, "markers", marks.marker(_style(better, theme), theme))
    unit = f"{PANELS[units[0]][1]}: " if len(units) == 1 else ""
    drawing.lay_out(title={"text": f"{unit}{names[0]} relative to {names[1]}"})
    return drawing.figure()


def _draw_part(
    drawing: Drawing,
    part: pd.DataFrame,
    names: tuple[str, str],
    theme: Theme,
    heights: dict[str, int],
    axes: dict[str, str],
) -> None:
    for better in part["better"].unique():
        group, style = part[part["better"] == better], _style(better, theme)
        drawing.scatter(
            x=group["value"],
            y=[heights[number] for number in group["number"]],
            mode="markers",
            showlegend=False,
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
