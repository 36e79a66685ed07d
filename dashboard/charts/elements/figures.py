"""Charts: pure functions from a DataFrame to a plotly Figure. The same input gives the same figure.

`dashboard.exports.print_figures` draws the same traces with matplotlib. The metric is written above the plot instead of
along the y axis, and the legend below the plot, so that both fit a narrow screen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from core.findings.axes import perplexity_title
from dashboard.charts.elements import marks
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.style import Properties, SeriesStyle, Theme, look

SCREEN = "screen"  # the `meta` of names and lines that prints place themselves, by their own widths
PATTERN_DASHES = {"unstructured": "solid", "4:8": "dash", "2:4": "dot"}

# Ticks of an axis of shares: `50 %` as in texts. Plotly itself writes `50%`.
PERCENT = {"tickformat": ".0%", "labelalias": {f"{sign}{n}%": f"{sign}{n} %" for sign in ("", "−") for n in range(101)}}
TICKS = (  # (highest over lowest value is below, steps in each decade)
    (3, (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8)),
    (8, (1, 1.5, 2, 3, 4, 5, 7)),
    (150, (1, 2, 5)),
    (3000, (1, 3)),
    (math.inf, (1,)),
)


def log_ticks(low: float, high: float) -> list[float]:
    """Return readable ticks of a log axis: 1, 2, 5 of each decade, or fewer steps for many decades."""
    steps = next(steps for most, steps in TICKS if high / low < most)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]


def log_axis(
    drawing: Drawing, low: float, high: float, top: float | None = None, band: Mapping[float, str] | None = None
) -> None:
    """Make the y axis logarithmic from `low` to `high`, with ticks up to `top`, by default its end.

    `band` has further ticks with their names.
    """
    ticks = log_ticks(low, top or high)
    texts = [f"{tick:,.0f}" if tick.is_integer() else f"{tick:g}" for tick in ticks]
    band = band or {}
    drawing.lay_out(
        yaxis={
            "type": "log",
            "range": [math.log10(low), math.log10(high)],
            "tickvals": [*ticks, *band],
            "ticktext": [*texts, *band.values()],
            "minor": {"dtick": "D1", "ticks": "outside", "ticklen": 2, "showgrid": False},
        }
    )


def named_axis(values: Sequence[str], names: Sequence[str]) -> Properties:
    """Return an axis with a tick and a name for each value, in order."""
    every = list(values)
    return {"categoryorder": "array", "categoryarray": every, "tickvals": every, "ticktext": list(names)}


def loss_curve(rows: pd.DataFrame, theme: Theme) -> go.Figure:
    """Draw training losses by step, a line for each `split`; `rows`: split, step, loss (nats per token)."""
    drawing = Drawing(theme, 300, "Loss (nats per token, lower is better)", "Training step")
    looks = ((theme.muted, "dot", "circle"), (theme.palette[1], "solid", "square"))
    for (split, part), (color, dash, symbol) in zip(rows.groupby("split", sort=False), looks, strict=False):
        style = SeriesStyle(color, dash, symbol)
        hover = f"<b>{split}</b>, step %{{x}}<br>loss %{{y:.4f}}<extra></extra>"
        marks.curve(drawing, part["step"], part["loss"], style, theme, name=str(split), hovertemplate=hover)
    return drawing.figure()


def perplexity_by_model(rows: pd.DataFrame, models: Sequence[str], theme: Theme, corpus: str) -> go.Figure:
    """Draw a paper's perplexities by model, a line for each series.

    `rows`: series, method, model, ratio_kind (`unstructured` or N:M), value.
    """
    family, sizes = models[0].rpartition("-")[0], [model.rpartition("-")[2] for model in models]
    drawing = Drawing(theme, 440, perplexity_title(corpus), f"{family} model size")
    for series, part in rows.groupby("series_label", sort=False):
        own, kind = look(part["method"].iloc[0], theme), part["ratio_kind"].iloc[0]
        style = SeriesStyle(own.color, PATTERN_DASHES.get(kind, "solid"), own.symbol)
        part = part.set_index("model").reindex([model for model in models if model in set(part["model"])])
        hover = f"<b>{series}</b>, %{{x}}<br>perplexity %{{y:.4g}}<extra></extra>"
        x, y = list(part.index), part["value"]
        marks.curve(drawing, x, y, style, theme, kind, name=str(series), hovertemplate=hover)
    log_axis(drawing, rows["value"].min() * 0.8, rows["value"].max() * 1.3)
    drawing.lay_out(xaxis=named_axis(models, sizes))
    return drawing.figure()
