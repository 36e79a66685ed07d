"""Charts: pure functions from a DataFrame to a plotly Figure. The same input gives the same figure.

Every figure carries all that a print needs (`dashboard.exports.print_figures` draws the same traces with matplotlib).
What is measured stands over the plot, not turned beside it, and the legend under it, so that a narrow screen can show
both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from core.words import number
from dashboard.charts import labels, marks
from dashboard.charts.style import Look, Theme, layout, look

DIVERGED = 1e4  # a perplexity above this says only that the model is broken
DIVERGED_TIMES_DENSE = 500
FEW_SERIES = 8  # beyond which the legend takes room that the plot needs
ASIDE, APART = 0.018, 0.01  # of the plot's width: from an arrow to its points, whose bars would hide it, and the next
UNSEEN = {"size": 9, "color": "rgba(0, 0, 0, 0)"}  # the marker that a text keeps its distance from
CHOSEN = "chosen"  # the shape that marks the ratio chosen on the page, which no print shows
PATTERN_DASHES = {"unstructured": "solid", "4:8": "dash", "2:4": "dot"}

TICKS = (  # (axis' highest over lowest is below, steps in each decade)
    (3, (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8)),
    (8, (1, 1.5, 2, 3, 4, 5, 7)),
    (150, (1, 2, 5)),
    (3000, (1, 3)),
    (math.inf, (1,)),
)


@dataclass(frozen=True)
class Axis:
    """What a curve is drawn against: a column of the points."""

    column: str
    title: str
    percent: bool = False


RATIO = Axis("ratio", "Share of block weights removed, as asked", percent=True)
REMOVED = Axis("model_removed", "Share of the whole model removed", percent=True)
PARAMETERS = Axis("parameters", "Parameters that are not zero (millions)")
PACKED = Axis("packed_mb", "Packed size (MB)")
PREFILL = Axis("prefill_ms", "Measured time to read a token (ms)")
DECODE = Axis("decode_ms", "Measured time to write a token (ms)")
AXES = (RATIO, REMOVED, PARAMETERS, PACKED, PREFILL, DECODE)


def log_ticks(low: float, high: float) -> list[float]:
    """Return readable ticks of a log axis: 1, 2, 5 of each decade, or fewer where there are many decades."""
    steps = next(steps for most, steps in TICKS if high / low < most)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]


def _log_axis(figure: go.Figure, low: float, high: float, corpus: str) -> None:
    ticks = log_ticks(low, high)
    figure.update_layout(title_text=f"Perplexity on {corpus} (log scale, lower is better)")
    figure.update_yaxes(
        type="log",
        range=[math.log10(low), math.log10(high)],
        tickvals=ticks,
        ticktext=[f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in ticks],
        minor={"dtick": "D1", "ticks": "outside", "ticklen": 2, "showgrid": False},
    )


def perplexity_curve(
    points: pd.DataFrame, dense: pd.DataFrame, axis: Axis, theme: Theme, corpus: str, chosen: float | None = None
) -> go.Figure:
    """Draw perplexity (log) against `axis`, a line for each series and hollow markers for its N:M patterns.

    All that belongs to a series is in its legend group, so that a click on the legend hides the whole. `points` and
    `dense` are rows of `dashboard.charts.points.collapse`. Diverged points lie at the top, labelled with their value.
    `chosen` marks a ratio.
    """
    points = points.assign(ratio=points["ratio"].fillna(0.0))  # of a dense model that was trained
    points = points.dropna(subset=[axis.column, "value"])
    figure = go.Figure(layout=layout(theme, 440 + 10 * max(0, points["series"].nunique() - FEW_SERIES)))
    cap = DIVERGED if dense.empty else min(DIVERGED, DIVERGED_TIMES_DENSE * float(dense["value"].iloc[0]))
    values = pd.concat([frame[name].clip(upper=cap) for frame in (points, dense) for name in ("low", "value", "high")])
    values = values[values > 0]
    figure.update_xaxes(title_text=axis.title, tickformat=".0%" if axis.percent else None)
    if values.empty:
        return figure
    span = _span(points, dense, axis)
    for series, rows in points.groupby("series", sort=False):
        _draw_series(figure, str(series), rows, axis, theme, cap)
    for pattern in dict.fromkeys(points["pattern"].dropna()):
        mark = marks.marker(Look(theme.muted, "solid", "circle"), theme, pattern)
        marks.entry(figure, f"{pattern} pattern", f"pattern {pattern}", "markers", mark)
    _draw_dense(figure, dense, axis, theme, span)
    there: Counter[float] = Counter()  # arrows at each share, be it a ratio or a pattern
    for untuned, tuned in marks.pairs(points):
        aside = (ASIDE + APART * there[tuned["ratio"]]) * (span[1] - span[0])
        there[tuned["ratio"]] += 1
        start, end = ((row[axis.column] + aside, min(row["value"], cap)) for row in (untuned, tuned))
        marks.arrow(figure, start, end, tuned["series"], look(tuned["parts"], theme).color)
    reach = max(values.max() / values.min(), 1.5)
    over = labels.over(points[points["value"] > cap].assign(place=cap), axis.column, span)
    lines = 1 + over["level"].max() if len(over) else 0  # of labels over the diverged points
    low, high = values.min() / reach**0.09, values.min() * reach ** (1.06 + 0.07 * lines)
    beside = labels.beside(points[points["value"] <= cap], axis.column, span, (low, high))
    for series, part in pd.concat([over, beside]).groupby("series", sort=False):
        _text(figure, part, axis.column, str(series), look(part["parts"].iloc[0], theme).color)
    if chosen is not None and axis is RATIO:
        line = {"color": theme.muted, "width": 1, "dash": "dot"}
        figure.add_vline(x=chosen, line=line, opacity=0.6, layer="below", name=CHOSEN)
    _log_axis(figure, low, high, corpus)
    figure.update_xaxes(range=span)
    return figure


def _span(points: pd.DataFrame, dense: pd.DataFrame, axis: Axis) -> tuple[float, float]:
    """Return the ends of the x axis."""
    there = [*points[axis.column], *dense[axis.column].dropna()] or [0.0]
    least, most = (0.0 if axis.percent else min(there)), max(there)
    room = most - least or abs(most) or 1.0
    return least - (0.03 if axis.percent else 0.06) * room, most + 0.06 * room


def _draw_series(figure: go.Figure, series: str, rows: pd.DataFrame, axis: Axis, theme: Theme, cap: float) -> None:
    style, name = look(rows["parts"].iloc[0], theme), marks.with_seeds(series, rows)
    curve = rows[rows["pattern"].isna()].sort_values(axis.column)
    patterns = rows[rows["pattern"].notna()].sort_values("value")
    line = {"color": style.color, "dash": style.dash, "width": 2}
    for part, mode in ((curve, "lines+markers"), (patterns, "markers")):
        if part.empty:
            continue
        shown, finite = part["value"].clip(upper=cap), part["value"] <= cap
        symbols = [
            marks.symbol(style, pattern) if ok else "triangle-up"
            for pattern, ok in zip(part["pattern"], finite, strict=True)
        ]
        figure.add_scatter(
            x=part[axis.column],
            y=shown,
            mode=mode,
            name=name,
            legendgroup=series,
            showlegend=False,
            line=line,
            marker=marks.marker(style, theme, part["pattern"].iloc[0], symbol=symbols),
            error_y=marks.bars(part, shown, finite, style.color),
            customdata=part[["key", "where", "value", "spread"]].to_numpy(),
            hovertemplate=f"<b>{series}</b>, %{{customdata[1]}}<br>perplexity %{{customdata[2]:.4g}}"
            "%{customdata[3]}<extra></extra>",
        )
    if curve.empty:
        marks.entry(figure, name, series, "markers", marks.marker(style, theme, patterns["pattern"].iloc[0]))
    else:
        marks.entry(figure, name, series, "lines+markers", marks.marker(style, theme), line)


def _draw_dense(figure: go.Figure, dense: pd.DataFrame, axis: Axis, theme: Theme, span: tuple[float, float]) -> None:
    if dense.empty:
        return
    row = dense.iloc[0]
    place = 0.0 if axis.column == "ratio" else row[axis.column]
    right = bool(pd.isna(place) or place < sum(span) / 2)  # the label stands where its marker does not
    shared = {"legendgroup": "Dense", "hoverinfo": "skip", "showlegend": False}
    figure.add_scatter(
        x=span, y=[row["value"]] * 2, mode="lines", line={"color": theme.text, "dash": "dot", "width": 1.4}, **shared
    )
    figure.add_scatter(
        x=[span[right]],
        y=[row["value"]],
        mode="markers+text",
        marker=UNSEEN,
        text=[f"dense {number(row['value'])}"],
        textposition="bottom left" if right else "bottom right",
        textfont={"size": 12, "color": theme.text},
        **shared,
    )
    if pd.notna(place):
        figure.add_scatter(
            x=[place],
            y=[row["value"]],
            mode="markers",
            name="Dense",
            legendgroup="Dense",
            marker={"symbol": look("dense", theme).symbol, "size": 11, "color": theme.text},
            customdata=[[row["key"], "nothing removed", row["value"], row["spread"]]],
            hovertemplate="<b>Dense</b><br>perplexity %{customdata[2]:.4g}%{customdata[3]}<extra></extra>",
        )


def _text(figure: go.Figure, part: pd.DataFrame, column: str, series: str, color: str) -> None:
    figure.add_scatter(
        x=part[column],
        y=part["place"],
        mode="markers+text",
        marker=UNSEEN,
        text=part["text"],
        textposition=part["side"],
        textfont={"size": 11, "color": color},
        cliponaxis=False,
        legendgroup=series,
        showlegend=False,
        hoverinfo="skip",
    )


def loss_curve(rows: pd.DataFrame, theme: Theme) -> go.Figure:
    """Draw a training's losses by step, a line for each `series`; `rows`: series, step, loss (nats a token)."""
    figure = go.Figure(layout=layout(theme, 300))
    looks = ((theme.muted, "dot", "circle"), (theme.palette[1], "solid", "square"))
    for (series, part), (color, dash, symbol) in zip(rows.groupby("series", sort=False), looks, strict=False):
        figure.add_scatter(
            x=part["step"],
            y=part["loss"],
            mode="lines+markers",
            name=str(series),
            line={"color": color, "dash": dash, "width": 2},
            marker=marks.marker(Look(color, dash, symbol), theme),
            hovertemplate=f"<b>{series}</b>, step %{{x}}<br>loss %{{y:.4f}}<extra></extra>",
        )
    figure.update_xaxes(title_text="Step of the training")
    figure.update_layout(title_text="Loss (nats a token, lower is better)")
    return figure


def layer_heatmap(layers: pd.DataFrame, theme: Theme, column: str, title: str) -> go.Figure:
    """Draw `column` of a layer report (block, role, sparsity, error) as blocks across and roles down."""
    roles = list(dict.fromkeys(layers["role"]))
    grid = layers.pivot_table(index="role", columns="block", values=column).reindex(roles)
    figure = go.Figure(layout=layout(theme, 130 + 28 * len(roles)))
    figure.add_heatmap(
        z=grid.to_numpy(),
        x=list(grid.columns),
        y=roles,
        colorscale=theme.scale,
        xgap=1,
        ygap=1,
        colorbar={"tickformat": ".1%", "thickness": 12, "outlinewidth": 0},
        hovertemplate=f"block %{{x}}, %{{y}}<br>{title} %{{z:.2%}}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, showline=False, ticks="")
    step = max(1, len(grid.columns) // 10)
    figure.update_xaxes(title_text="Block", showgrid=False, showline=False, dtick=step)
    figure.update_layout(title_text=title)
    return figure


def perplexity_by_model(rows: pd.DataFrame, models: Sequence[str], theme: Theme, corpus: str) -> go.Figure:
    """Draw a paper's perplexities by model, a line for each series.

    `rows`: series, method, model, kind (`unstructured` or a pattern), value.
    """
    figure = go.Figure(layout=layout(theme, 440))
    for series, part in rows.groupby("series", sort=False):
        style, kind = look(part["method"].iloc[0], theme), part["kind"].iloc[0]
        part = part.set_index("model").reindex([model for model in models if model in set(part["model"])])
        figure.add_scatter(
            x=list(part.index),
            y=part["value"],
            mode="lines+markers",
            name=str(series),
            line={"color": style.color, "dash": PATTERN_DASHES.get(kind, "solid"), "width": 2},
            marker=marks.marker(style, theme, kind if ":" in kind else None),
            hovertemplate=f"<b>{series}</b>, %{{x}}<br>perplexity %{{y:.4g}}<extra></extra>",
        )
    _log_axis(figure, rows["value"].min() * 0.8, rows["value"].max() * 1.3, corpus)
    family, sizes = models[0].rpartition("-")[0], [model.rpartition("-")[2] for model in models]
    figure.update_xaxes(categoryorder="array", categoryarray=list(models), tickvals=list(models), ticktext=sizes)
    figure.update_xaxes(title_text=f"{family} model size")
    return figure
