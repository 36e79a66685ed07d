"""Chart of zero-shot accuracies: a row for each variant, and a panel for each task or one for their mean."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from core.findings.numbers.reporting import TableRow
from core.findings.rows.zeroshot import in_percent, unit_of
from dashboard.charts.elements.drawing import Drawing, Panels, error_bars
from dashboard.charts.elements.labels import wrapped
from dashboard.charts.elements.style import Properties, SeriesStyle, Theme, faded, look

OTHERS = "others"
LINES = {"dense": ("dense", "solid"), "chance": ("chance", "dot"), "majority": ("majority class", "dash")}
ROW, FRAME = 30, 96  # px: per variant, and around all panels


def score_chart(
    rows: pd.DataFrame, lines: pd.DataFrame, theme: Theme, tasks: Sequence[str], difference: bool
) -> go.Figure:
    """Draw the accuracies of variants, or their differences to dense, a panel for each of `tasks`.

    Args:
        rows: Rows with task, series_label, parts, pattern, parent_label, key and `hover_text`; value, low and high in
            shares, drawn in percent or points; `significant`, False for faded rows; `highlighted`, False for context,
            which shares the last row in grey.
        lines: Accuracies `dense`, `chance` and `majority` in percent, if known, indexed by task.
        theme: Colours.
        tasks: Labels of the panels.
        difference: Whether values are differences to dense.
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
        _draw_lines(drawing, known[task], ends, difference, theme, axes, place)
        _draw_rows(drawing, rows[rows["task"] == task], heights, theme, axes)
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
    drawing: Drawing,
    values: TableRow,
    ends: list[float],
    difference: bool,
    theme: Theme,
    axes: Properties,
    place: int,
) -> None:
    for column, (name, dash) in LINES.items():
        value = values.get(column)
        if pd.isna(value):
            continue
        x = value - values["dense"] if difference else value
        color, hover = theme.text if column == "dense" else theme.muted, f"{name} {value:.1f} %<extra></extra>"
        more = {"legendgroup": name, "showlegend": place == 0, "hovertemplate": hover, **axes}
        drawing.line([x, x], ends, color, 1.4, dash, name=name, **more)


def _draw_rows(
    drawing: Drawing, rows: pd.DataFrame, heights: Mapping[str, int], theme: Theme, axes: Properties
) -> None:
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
