"""Charts of zero-shot accuracies: a row for each variant and a panel for each task, or a row for each task."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from core.findings.numbers.reporting import TableRow
from core.findings.rows.zeroshot import in_percent, unit_of
from dashboard.charts.elements.drawing import PERCENT, Drawing, Panels, error_bars, origin_pairs
from dashboard.charts.elements.labels import wrapped
from dashboard.charts.elements.style import Properties, SeriesStyle, Theme, faded, look

OTHERS = "others"
LINES = {"dense": ("dense", "solid"), "chance": ("chance", "dot"), "majority": ("majority class", "dash")}
ROW, FRAME = 30, 96  # px: per variant, and around all panels
HALF = 0.42  # of a task's row: the reach of a baseline up and down


def score_chart(
    rows: pd.DataFrame, lines: pd.DataFrame, theme: Theme, tasks: Sequence[str], difference: bool
) -> go.Figure:
    """Draw the accuracies of variants, or their differences to dense, a panel for each of `tasks`.

    `rows` have task, series_label, parts, pattern, parent_label, key and `hover_text`; value, low and high in shares,
    drawn in percent or points; `significant`, False for faded rows; `highlighted`, False for context, which shares the
    last row in grey. `lines` are accuracies `dense`, `chance` and `majority` in percent, if known, indexed by task.
    """
    rows = in_percent(rows)
    names = row_names(rows[rows["highlighted"]])
    heights = {series: len(names) - place for place, series in enumerate(names)}  # `OTHERS` is at 0
    labels = {len(names) - place: label for place, label in enumerate(names.values())}
    if not rows["highlighted"].all():
        labels[0] = OTHERS
    panels = Panels(theme, len(tasks), ROW * len(labels), FRAME)
    drawing, ends = panels.drawing, [min(labels) - 0.5, max(labels) + 0.5]
    x = {"range": _ends(rows, lines, tasks, difference)}
    y = {"range": ends, "tickvals": list(labels), "ticktext": list(labels.values()), "showgrid": False, "ticks": ""}
    known: Mapping[Hashable, TableRow] = lines.to_dict("index")
    for place, task in enumerate(tasks):
        title = f"<b>{task}</b>, dense {known[task]['dense']:.1f} %" if len(tasks) > 1 else ""
        axes = panels.add(place, title, x, y)
        _draw_lines(drawing, known[task], ends, difference, axes, place)
        _draw_rows(drawing, rows[rows["task"] == task], heights, axes)
    metric = f"{tasks[0]}, zero-shot" if len(tasks) == 1 else "Zero-shot accuracy"
    unit = " minus dense, points" if difference else f", {unit_of(tasks[0])}"
    drawing.lay_out(title={"text": f"{metric}{unit} (higher is better)"})
    return drawing.figure()


def row_names(rows: pd.DataFrame) -> dict[str, str]:
    """Return the label of each series' row, in order; reconstructed and fine-tuned series follow their origin.

    Below its origin, a series' label has only the added stages.
    """
    before = dict(zip(rows["series_label"], rows["parent_label"], strict=True))
    found: dict[str, str] = {}

    def add(series: str, origin: str | None, depth: int) -> None:
        short = series.removeprefix(f"{origin} ") if origin else series
        found[series] = "↳ " * depth + wrapped(short)
        for other, of in before.items():
            if of == series and other not in found:
                add(other, series, depth + 1)

    for series, of in before.items():
        if of not in before and series not in found:
            add(series, None, 0)
    return found


def _ends(rows: pd.DataFrame, lines: pd.DataFrame, tasks: Sequence[str], difference: bool) -> list[float]:
    """Return the ends of the x axis, the same in all panels."""
    shown, baselines = rows[rows["task"].isin(tasks)], lines.loc[list(tasks)]
    base = baselines["dense"] if difference else 0.0
    known = [shown[name] for name in ("value", "low", "high")]
    known += [baselines[name] - base for name in LINES if name in baselines]
    values = pd.concat(known).astype(float).dropna()
    room = 0.04 * (values.max() - values.min()) or 1.0
    return [values.min() - room, values.max() + room]


def _draw_lines(
    drawing: Drawing, values: TableRow, ends: list[float], difference: bool, axes: Properties, place: int
) -> None:
    theme = drawing.theme
    for column, (name, dash) in LINES.items():
        value = values.get(column)
        if pd.isna(value):
            continue
        x = value - values["dense"] if difference else value
        color, hover = theme.text if column == "dense" else theme.muted, f"{name} {value:.1f} %<extra></extra>"
        more = {"legendgroup": name, "showlegend": place == 0, "hovertemplate": hover, **axes}
        drawing.line([x, x], ends, color, 1.4, dash, name=name, **more)


def _draw_rows(drawing: Drawing, rows: pd.DataFrame, heights: Mapping[str, int], axes: Properties) -> None:
    theme = drawing.theme
    for row in rows.to_dict("records"):
        style = look(row["parts"], theme)
        if not row["highlighted"]:
            style = SeriesStyle(faded(theme.muted, theme), style.dash, style.symbol)
        elif not row["significant"]:
            style = SeriesStyle(faded(style.color, theme), style.dash, style.symbol)
        bars = error_bars([row["low"]], [row["value"]], [row["high"]], [True], style.color)
        drawing.scatter(
            x=[row["value"]],
            y=[heights.get(row["series_label"], 0)],
            mode="markers",
            name=row["series_label"],
            showlegend=False,
            marker=style.marker(theme, row["pattern"], size=10 if row["highlighted"] else 7),
            error_x=bars if row["highlighted"] else None,
            customdata=[[row["key"], row["task"]]],
            hovertemplate=f"<b>{row['series_label']}</b>, {row['task']}<br>{row['hover_text']}<extra></extra>",
            **axes,
        )


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
    there = [column for column in ("chance", "majority") if column in rows]
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
    name, dash = LINES[column]
    shown = rows.dropna(subset=[column]).drop_duplicates("task")
    xs = [x for value in shown[column] for x in (value, value, None)]
    ys = [y for task in shown["task"] for y in (lanes.task[task] - HALF, lanes.task[task] + HALF, None)]
    if xs:
        drawing.line(xs, ys, theme.muted, 1.6, dash, name=name)
