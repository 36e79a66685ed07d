"""Chart of accuracies: a row for each task and a marker for each series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.elements.drawing import PERCENT, Drawing, error_bars, origin_pairs
from dashboard.charts.elements.style import Theme, look

HALF = 0.42  # of a task's row: the reach of a baseline up and down
BASELINES = {"chance": ("chance", "dot"), "majority": ("majority class", "dash")}  # column: name and line


class Lanes:
    """The heights of tasks (`order`, top first) and, in each task, of series, by the lane of their `slot`."""

    def __init__(self, slot: dict[str, str], order: Sequence[str]):
        self.task = {task: len(order) - 1 - index for index, task in enumerate(order)}
        self._slot = slot
        slots = list(dict.fromkeys(slot.values()))
        gaps = len(slots) - 1
        self._step = min(0.62, 0.2 * max(1, gaps)) / max(1, gaps)
        self._shift = {slot: (gaps / 2 - index) * self._step for index, slot in enumerate(slots)}
        self.pixels = 140 + max(len(order), 1) * (20 + 9 * len(slots))

    def height(self, series: str, task: str) -> float:
        """Return the height of a series in a task's row."""
        return self.task[task] + self._shift[self._slot[series]]

    def arrows(self, drawing: Drawing, rows: pd.DataFrame, theme: Theme) -> None:
        """Draw an arrow to each reconstructed or fine-tuned point from its origin, above and below the lane in turn."""
        there: Counter[tuple[str, str]] = Counter()
        for untuned, tuned in origin_pairs(rows):
            lane = self._slot[tuned["series_label"]], tuned["task"]
            height = self.height(tuned["series_label"], tuned["task"]) + (-1 if there[lane] % 2 else 1) * self._step / 2
            there[lane] += 1
            start, end = ((row["value"], height) for row in (untuned, tuned))
            drawing.arrow(start, end, tuned["series_label"], look(tuned["parts"], theme).color)

    def finish(self, drawing: Drawing, theme: Theme) -> None:
        """Name the tasks at the left, with lines between them."""
        for line in range(len(self.task) - 1):
            drawing.across(line + 0.5, {"color": theme.grid, "width": 1}, layer="below")
        ends = [-0.5, len(self.task) - 0.5]
        named = {"tickvals": list(self.task.values()), "ticktext": list(self.task)}
        drawing.lay_out(yaxis=named | {"showgrid": False, "ticks": "", "range": ends})


def accuracy_dots(rows: pd.DataFrame, theme: Theme, order: Sequence[str]) -> go.Figure:
    """Draw accuracy, a row for each task of `order` (labels, top first), a marker for each series.

    Reconstructed and fine-tuned series share the lane of their origin, with an arrow. A dotted mark is chance, a dashed
    one the majority class.

    `rows` as of `zeroshot.accuracies`; value, low, high, chance and, if known, majority are in [0, 1].
    """
    lanes = Lanes(_origins(rows), order)
    drawing = Drawing(theme, lanes.pixels, "Zero-shot accuracy (higher is better)")
    there = [column for column in BASELINES if column in rows]
    for column in there:
        _draw_baseline(drawing, rows, column, lanes, theme)
    for name, part in rows.groupby("series_label", sort=False):
        style = look(part["parts"].iloc[0], theme)
        drawing.scatter(
            x=part["value"],
            y=[lanes.height(str(name), task) for task in part["task"]],
            mode="markers",
            name=str(name),
            legendgroup=name,
            marker=style.marker(theme, part["pattern"].iloc[0]),
            error_x=error_bars(part["low"], part["value"], part["high"], part["value"] >= 0, style.color),
            customdata=part[["key", "task", "metric", "spread"]].assign(percent=100 * part["value"]).to_numpy(),
            hovertemplate=f"<b>{name}</b>, %{{customdata[1]}}<br>%{{customdata[4]:.1f}} % (%{{customdata[2]}})"
            "%{customdata[3]}<extra></extra>",
        )
    lanes.arrows(drawing, rows, theme)
    lanes.finish(drawing, theme)
    low = min(rows[column].min() for column in ("low", *there))
    high = max(rows[column].max() for column in ("high", *there))
    drawing.lay_out(xaxis={**PERCENT, "range": [low - 0.02, high + 0.02]})
    return drawing.figure()


def _origins(rows: pd.DataFrame) -> dict[str, str]:
    """Return the origin of each series: the one before all later stages that remove nothing."""
    before = rows.dropna(subset="parent_label").set_index("series_label")["parent_label"].to_dict()
    found = {series: series for series in rows["series_label"]}
    for series in found:
        while found[series] in before:
            found[series] = before[found[series]]
    return found


def _draw_baseline(drawing: Drawing, rows: pd.DataFrame, column: str, lanes: Lanes, theme: Theme) -> None:
    name, dash = BASELINES[column]
    shown = rows.dropna(subset=[column]).drop_duplicates("task")
    xs = [x for value in shown[column] for x in (value, value, None)]
    ys = [y for task in shown["task"] for y in (lanes.task[task] - HALF, lanes.task[task] + HALF, None)]
    if xs:
        drawing.line(xs, ys, theme.muted, 1.6, dash, name=name)
