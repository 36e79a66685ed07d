"""Chart of several variants over tasks: a line for each, as in parallel coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.elements import marks
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.figures import named_axis
from dashboard.charts.elements.style import SeriesStyle, Theme

HEIGHT = 380  # pixels
STYLES = ((8, "solid", "circle"), (0, "dash", "square"), (1, "dot", "diamond"), (2, "dashdot", "triangle-up"))


def task_profile(rows: pd.DataFrame, tasks: Sequence[str], theme: Theme) -> go.Figure:
    """Draw the accuracy of each variant in each task.

    Args:
        rows: Columns name (of the variant), task, value and stderr, as shares.
        tasks: Labels of the tasks in the order of the axis.
        theme: Colours.
    """
    drawing = Drawing(theme, HEIGHT, "Zero-shot accuracy (%)", "Task")
    for (name, part), (colour, dash, symbol) in zip(rows.groupby("name", sort=False), STYLES, strict=False):
        part = part.set_index("task").reindex([task for task in tasks if task in set(part["task"])])
        style = SeriesStyle(theme.palette[colour], dash, symbol)
        hover = f"<b>{name}</b><br>%{{x}} %{{y:.1f}} %<extra></extra>"
        marks.curve(drawing, list(part.index), 100 * part["value"], style, theme, name=str(name), hovertemplate=hover)
    drawing.lay_out(xaxis=named_axis(tasks, tasks))
    return drawing.figure()
