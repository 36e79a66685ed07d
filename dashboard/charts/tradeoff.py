"""Chart of the trade-off between quality and cost, with Pareto fronts and the limits of a budget."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.analysis.budget import DIVERGED, LIMITS, PERPLEXITY, Budget, answers, limits, pareto
from core.notation.chain import DENSE
from core.notation.formatting import format_number
from core.registry import METHODS, STAGES
from dashboard.charts.elements import labels, marks
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.figures import (
    BITS,
    DECODE,
    MEMORY,
    PACKED,
    PARAMETERS,
    PREFILL,
    Axis,
    log_axis,
    perplexity_title,
)
from dashboard.charts.elements.plot import Plot
from dashboard.charts.elements.style import ADDED, MORE_MARKS, Properties, SeriesStyle, Theme, faded, look

COSTS = (PACKED, BITS, PARAMETERS, PREFILL, DECODE, MEMORY)
TOP_TIMES_DENSE = 30  # points with higher perplexities are drawn at the upper edge
NEAREST = 3  # misses that are named if nothing fits
KINDS = (  # of marks, in the legend's order
    *dict.fromkeys(method.family.capitalize() for method in METHODS),
    *(f"+ {stage.label}" for stage in STAGES if stage.name in ADDED),
    SEVERAL := "Several stages",
)


EMPTY_SIDES = {  # by whether the y axis is logarithmic; first the sides beyond the front, where no points are
    True: ("bottom left", "middle left", "bottom right", "bottom center", "top right", "middle right"),
    False: ("top left", "middle left", "top right", "top center", "bottom right", "middle right"),
}


@dataclass(frozen=True)
class Quality:
    """The y axis: a column of the rows, its title, and the factor to its display unit."""

    column: str
    title: str
    times: float = 1.0

    @property
    def lower(self) -> bool:
        """Whether lower is better; such an axis is logarithmic."""
        return self.column == PERPLEXITY


def quality_of(column: str, corpus: str) -> Quality:
    """Return the y axis for PERPLEXITY, on a corpus, or ACCURACY."""
    if column == PERPLEXITY:
        return Quality(column, perplexity_title(corpus))
    return Quality(column, "Mean accuracy of the seven tasks (%, higher is better)", 100.0)


def tradeoff(
    rows: pd.DataFrame, dense: pd.DataFrame, cost: Axis, quality: Quality, budget: Budget, theme: Theme
) -> go.Figure:
    """Draw a quality against a cost, a mark for each variant in the style of its method.

    Variants outside the budget are grey. Lines show the Pareto front within the budget and, dotted, that of all
    variants. The front's points are named or, without room, numbered by their place in `answers`. If no variant fits,
    the nearest misses are named. Labelled lines show the limits.

    Args:
        rows: Rows of `core.analysis.budget.ranked`, from `dashboard.charts.frames.candidates`.
        dense: Rows of the dense model.
        cost: The x axis.
        quality: The y axis.
        budget: The limits.
        theme: Colours.
    """
    drawing = Drawing(theme, 480)
    drawing.lay_out(xaxis={"title": {"text": cost.title}}, title={"text": quality.title})
    places = {key: place for place, key in enumerate(answers(rows)["key"], 1)}
    rows = rows.assign(place=rows["key"].map(places)).dropna(subset=[cost.column, quality.column])
    dense = dense.dropna(subset=[cost.column, quality.column])
    if rows.empty and dense.empty:
        return drawing.figure()
    limit = limits(budget).get(cost.column), _quality_limit(budget, dense, quality)
    cap = _cap(dense, quality, limit[1])
    rows, dense = (_drawn(part, cost, quality, cap) for part in (rows, dense))
    plot = Plot(drawing, *_ends(pd.concat([rows, dense]), quality, limit), log=quality.lower)
    steps = _draw_fronts(plot, rows, quality, limit[0], theme)
    others = rows[~rows["key"].isin(dense["key"])]
    _draw_rest(drawing, others[~others["fits"]], theme)
    _draw_fitting(drawing, others[others["fits"]], theme)
    _draw_limits(plot, limit, _limit_words(budget, cost, quality), theme)
    _draw_dense(plot, dense, quality, theme)
    _name(plot, others, steps, theme)
    if quality.lower:
        log_axis(drawing, *plot.up)
    else:
        drawing.lay_out(yaxis={"range": plot.up})
    drawing.lay_out(xaxis={"range": plot.across})
    return drawing.figure()


def _quality_limit(budget: Budget, dense: pd.DataFrame, quality: Quality) -> float | None:
    """Return the height of the budget's limit on the quality."""
    if not quality.lower:
        return None if budget.mean_accuracy is None else quality.times * budget.mean_accuracy
    if budget.times_dense is None or dense.empty:
        return None
    return budget.times_dense * float(dense[PERPLEXITY].iloc[0])


def _limit_words(budget: Budget, cost: Axis, quality: Quality) -> tuple[str, str]:
    """Return the labels of the limits on cost and quality; empty without a limit."""
    known, column = limits(budget), "times_dense" if quality.lower else quality.column
    most, best = (LIMITS[name].format(known[name]) if name in known else "" for name in (cost.column, column))
    return most, best


def _cap(dense: pd.DataFrame, quality: Quality, limit: float | None) -> float:
    """Return the height above which points are drawn at the upper edge."""
    if not quality.lower:
        return math.inf
    top = DIVERGED if dense.empty else TOP_TIMES_DENSE * float(dense[PERPLEXITY].iloc[0])
    return min(DIVERGED, max(top, 1.5 * (limit or 0.0)))


def _drawn(rows: pd.DataFrame, cost: Axis, quality: Quality, cap: float) -> pd.DataFrame:
    """Return rows with `x`, `height`, the ends `low` and `high` of their bars, and the hover text `hover_text`.

    `lies` is False for points above the cap, which are drawn at the upper edge.
    """
    value, low, high = (quality.times * rows[f"{quality.column}{end}"].astype(float) for end in ("", "_low", "_high"))
    texts = [_hover_text(row, cost, quality) for _, row in rows.iterrows()]
    rows = rows.assign(x=rows[cost.column], height=value.clip(upper=cap), lies=value <= cap)
    return rows.assign(low=low, high=high, hover_text=texts)


def _hover_text(row: pd.Series, cost: Axis, quality: Quality) -> str:
    """Return the hover text: method, amount, quality, cost, packed size, and the missed limits."""
    if quality.lower:
        text = f"perplexity {row[PERPLEXITY]:.4g}{row['spread']}"
        text += f", {format_number(row['times_dense'])} times dense" if pd.notna(row["times_dense"]) else ""
    else:
        text = f"mean accuracy {quality.times * row[quality.column]:.1f} %"
    costs = dict.fromkeys((cost.column, PACKED.column))
    paid = [f"{format_number(row[column])} {LIMITS[column].quantity}" for column in costs]
    misses = row.get("misses")
    return "<br>".join(
        [f"<b>{row['series_label']}</b>, {row['amount_label']}", text, *paid, *([misses] if misses else [])]
    )


def _ends(
    rows: pd.DataFrame, quality: Quality, limit: tuple[float | None, float | None]
) -> tuple[labels.Place, labels.Place]:
    """Return the ends of both axes, with some room around all rows and limits."""
    xs, heights = (
        [*values, *([one] if one is not None else [])]
        for values, one in zip((rows["x"], rows["height"]), limit, strict=True)
    )
    wide = max(xs) - min(xs) or abs(max(xs)) or 1.0
    across = min(xs) - 0.08 * wide, max(xs) + 0.08 * wide
    if quality.lower:
        reach = max(max(heights) / min(heights), 1.5)
        return across, (min(heights) / reach**0.12, max(heights) * reach**0.08)
    high = max(heights) - min(heights) or 1.0
    return across, (min(heights) - 0.1 * high, max(heights) + 0.12 * high)


def _draw_fronts(
    plot: Plot, rows: pd.DataFrame, quality: Quality, limit: float | None, theme: Theme
) -> list[labels.Place]:
    """Draw the Pareto front within the budget, up to the limit of the cost, and that of all if it differs.

    Returns places on the former.
    """
    every, fitting = rows[pareto(rows, "x", quality.column)], rows[rows["front"]]
    same = set(every["key"]) == set(fitting["key"])
    if not same:
        _steps(plot.drawing, every, plot.across[1], ("Pareto front of all variants", theme.muted, "dot"))
    end = plot.across[1] if limit is None else limit
    name = "Pareto front" if same else "Pareto front within budget"
    corners = _steps(plot.drawing, fitting, end, (name, theme.text, "solid"))
    return labels.along(np.array([plot.place(*corner) for corner in corners]), 4) if corners else []


def _steps(drawing: Drawing, front: pd.DataFrame, end: float, style: tuple[str, str, str]) -> list[tuple[float, float]]:
    """Draw the best quality at each cost up to `end` as steps; return the corners."""
    front = front.drop_duplicates(["x", "height"]).sort_values("x")
    if front.empty:
        return []
    name, color, dash = style
    starts, heights = list(front["x"]), list(front["height"])
    spans = zip(starts, [*starts[1:], end], heights, strict=True)
    corners = [(x, height) for start, stop, height in spans for x in (start, stop)]
    xs, ys = zip(*corners, strict=True)
    line = {"color": color, "dash": dash, "width": 1.4}
    drawing.scatter(x=xs, y=ys, mode="lines", name=name, line=line, hoverinfo="skip")
    return corners


def kind(parts: str, family: str, theme: Theme) -> str:
    """Return the kind of a variant's mark, one of `KINDS`: its family, or its last added stage."""
    last = parts.split("+")[-1]
    if look(parts, theme).symbol in MORE_MARKS:
        return SEVERAL
    stage = next((stage for stage in STAGES if stage.name == last and last in ADDED), None)
    return f"+ {stage.label}" if stage and "+" in parts else family.capitalize()


def _draw_fitting(drawing: go.Figure, rows: pd.DataFrame, theme: Theme) -> None:
    """Draw the variants within the budget: a legend entry per kind, hollow N:M marks, error bars on the front."""
    kinds = [kind(*of, theme) for of in zip(rows["parts"], rows["family"], strict=True)]
    rows = rows.assign(kind=kinds, hollow=rows["pattern"].map(marks.is_hollow).astype(bool))
    known = {name: place for place, name in enumerate(KINDS)}
    for name in sorted(set(kinds), key=lambda name: (known.get(name, len(known)), name)):
        part = rows[rows["kind"] == name]
        mark = marks.marker(SeriesStyle(theme.muted, "solid", look(part["parts"].iloc[0], theme).symbol), theme)
        marks.entry(drawing, name, name, "markers", mark)
        for (parts, _), some in part.groupby(["parts", "hollow"], sort=False):
            style = look(str(parts), theme)
            mark = marks.marker(style, theme, some["pattern"].iloc[0]) | {"symbol": _symbols(some, theme)}
            seen = some["lies"] & some["front"]
            bars = marks.bars(some["low"], some["height"], some["high"], seen, style.color)
            drawing.scatter(**_points(some), legendgroup=name, marker=mark, error_y=bars)


def _draw_rest(drawing: go.Figure, rows: pd.DataFrame, theme: Theme) -> None:
    """Draw the variants outside the budget as one trace."""
    if rows.empty:
        return
    grey = {"size": 7, "color": faded(theme.muted, theme), "line": {"width": 0}}
    drawing.scatter(**_points(rows), legendgroup="rest", marker=grey | {"symbol": _symbols(rows, theme)})
    marks.entry(drawing, "Outside budget", "rest", "markers", grey | {"symbol": "circle"})


def _points(rows: pd.DataFrame) -> Properties:
    return {
        "x": rows["x"],
        "y": rows["height"],
        "mode": "markers",
        "showlegend": False,
        "customdata": rows[["key", "hover_text"]].to_numpy(),
        "hovertemplate": "%{customdata[1]}<extra></extra>",
    }


def _symbols(rows: pd.DataFrame, theme: Theme) -> list[str]:
    there = zip(rows["parts"], rows["pattern"], rows["lies"], strict=True)
    return [marks.symbol(look(parts, theme), pattern) if lies else "triangle-up" for parts, pattern, lies in there]


def _draw_limits(plot: Plot, limit: tuple[float | None, float | None], texts: tuple[str, str], theme: Theme) -> None:
    """Draw the limits of both axes with their labels."""
    style = {"color": theme.text, "dash": "dash", "width": 1.4}
    most, best = limit
    if most is not None:
        plot.line((most, most), plot.up, style, "limits")
        plot.write_where_free((most, plot.up[1]), texts[0], theme.text, "limits")
    if best is not None:
        plot.line(plot.across, (best, best), style, "limits")
        plot.write((plot.across[1], best), texts[1], "top left", theme.text, "limits")


def _draw_dense(plot: Plot, dense: pd.DataFrame, quality: Quality, theme: Theme) -> None:
    """Draw the dense model's mark and a line at its quality, labelled where variants are unlikely."""
    if dense.empty:
        return
    height = float(dense["height"].iloc[0])
    plot.line(plot.across, (height, height), {"color": theme.text, "dash": "dot", "width": 1}, "Dense")
    mark = {"symbol": look(DENSE, theme).symbol, "size": 11, "color": theme.text}
    plot.drawing.scatter(**_points(dense) | {"showlegend": True}, name="Dense", legendgroup="Dense", marker=mark)
    end = plot.across[0 if quality.lower else 1]
    plot.write_where_free((end, height), f"dense {format_number(height)}", theme.text, "Dense")


def _name(plot: Plot, rows: pd.DataFrame, front: list[labels.Place], theme: Theme) -> None:
    """Name the points of the front within the budget, or else the nearest misses, off the front and other points."""
    named = rows[rows["front"]] if rows["fits"].any() else rows.head(NEAREST)
    rest = rows.drop(named.index)
    mine, others, grey = (
        plot.places(part["x"], part["height"]) for part in (named, rest[rest["fits"]], rest[~rest["fits"]])
    )
    texts = [(f"{row['series_label']}<br>{row['amount_label']}", f"{row['place']:.0f}") for _, row in named.iterrows()]
    sides, lesser = EMPTY_SIDES[plot.log], [*grey, *plot.lines]
    found = labels.named(mine, texts, [*others, *front], sides, plot.texts, lesser)
    for (_, row), (text, side) in zip(named.iterrows(), found, strict=True):
        if text:
            color = look(row["parts"], theme).color if row["fits"] else theme.muted
            plot.write((row["x"], row["height"]), text, side, color, "names")
