"""Chart of the trade-off between quality and cost, with Pareto fronts and the limits of a budget.

Perplexities are drawn as multiples of the dense model's. Values above a log axis are in a band at the upper edge.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.findings.axes import BITS, DECODE, FILE, MEMORY, PACKED, PARAMETERS, PREFILL, Axis
from core.findings.best.budget import LIMITS, Budget, limits, pareto, winner
from core.findings.best.qualities import Quality
from core.findings.best.ranking import interval_of
from core.findings.estimates.words import facts
from core.findings.numbers.reporting import UNADJUSTED, TableRow
from core.notation.chain import DENSE
from core.notation.formatting import format_number
from dashboard.charts.elements import labels
from dashboard.charts.elements.drawing import Drawing, error_bars
from dashboard.charts.elements.style import OF_FAMILIES, Properties, Theme, faded, family_look
from dashboard.charts.tradeoff_axes import Heights, Plot, heights, measured, percent_ticks, placed

COSTS = (PACKED, FILE, BITS, PARAMETERS, PREFILL, DECODE, MEMORY)
NEAREST = 3  # misses that are named if nothing fits
RING = 17  # px
BEYOND = 1.5  # multiple of the cost's limit up to which variants outside the budget are in view
CLOSE = 0.2  # share of the width within which the line of a limit could cross a label
LONGEST = 24  # letters per line of a name
SIDES = {  # by whether low values are good; first the sides beyond the front, where no points are
    True: ("bottom left", "middle left", "bottom right", "bottom center", "top right", "middle right", "top left"),
    False: ("top left", "middle left", "top right", "top center", "bottom right", "middle right", "bottom left"),
}


def tradeoff(
    rows: pd.DataFrame,
    dense: pd.DataFrame,
    estimates: pd.DataFrame,
    cost: Axis,
    quality: Quality,
    budget: Budget,
    theme: Theme,
) -> go.Figure:
    """Draw a quality against a cost, a mark for each variant in the style of its family.

    Variants outside the budget are grey. Lines show the Pareto front within the budget and, dotted, that of all
    variants. The points of the front are named where there is room, the best one first; it has a ring. If no variant
    fits, the nearest misses are named, also the nearest one on the axis. Labelled lines show the limits. Estimates are
    hollow and have no names.

    `rows` are of `core.findings.best.budget.ranked`, from `core.findings.best.candidates`, with the columns of
    `core.findings.best.ranking.with_intervals`. `estimates` are of `core.findings.estimates.combinations.select`, empty
    for other qualities than perplexity.
    """
    drawing = Drawing(theme, 480, quality.drawn_title, cost.title)
    best = winner(rows)
    rows, dense = (part.dropna(subset=[cost.column, quality.drawn]) for part in (rows, dense))
    if rows.empty and dense.empty:
        return drawing.figure()
    known = limits(budget)
    most, best_value = known.get(cost.column), known.get(quality.drawn)
    limit = most, None if best_value is None else quality.times * best_value
    rows, dense = (measured(part, cost, quality) for part in (rows, dense))
    up = heights(pd.concat([rows, dense]), quality, limit[1])
    rows, dense = (placed(part, quality, up) for part in (rows, dense))
    rows, dense = (
        part.assign(hover_text=[_hover_text(row, cost, quality) for row in part.to_dict("records")])
        for part in (rows, dense)
    )
    others = rows[~rows["key"].isin(dense["key"])]
    first = others["key"] == (None if best is None else best["key"])
    nearest = pd.concat([others.head(NEAREST), others[others["lies"]].head(1)]).drop_duplicates("key")
    named = others[others["front"] | first] if rows["fits"].any() else nearest
    xs = pd.concat([frame["x"] for frame in (rows, dense)] + [estimates.get(cost.column, rows["x"][:0])])
    plot = Plot(drawing, _across(xs, named["x"].max(), limit[0]), (up.low, up.high), log=quality.log)
    if up.high > up.top:
        drawing.box(plot.across, (up.top, up.high), theme.band)
    steps = _draw_fronts(plot, rows, quality, limit[0], theme)
    _draw_rest(drawing, others[~others["fits"]], theme)
    _draw_fitting(drawing, others[others["fits"]], theme)
    _draw_estimates(plot, estimates, cost, theme)
    if best is not None:
        ringed, entry = rows[rows["key"] == best["key"]], {"name": "Best within budget", "legendgroup": "best"}
        drawing.ring(ringed["x"], ringed["height"], RING, theme.text, **entry)
    names = dict(zip(named["key"], _names(named), strict=True))
    shown = others[others["x"].between(*plot.across)].assign(text=others["key"].map(names))
    _name(plot, shown, shown["key"].isin(named["key"].iloc[:1]), quality, steps, theme, first=True)
    texts = [LIMITS[name].format(known[name]) if name in known else "" for name in (cost.column, quality.drawn)]
    _draw_limits(plot, limit, texts, up, theme)
    _draw_dense(plot, dense, quality, limit[0], theme)
    _name(plot, shown, shown["key"].isin(named["key"].iloc[1:]), quality, steps, theme)
    drawing.lay_out(xaxis={"range": plot.across}, yaxis={"range": plot.up})
    if quality.percent and up.top > 100:
        ticks = percent_ticks(up)
        drawing.lay_out(yaxis={"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]})
    if quality.log:
        band = f"over {up.top:g}" if quality.span else format_number(math.inf)
        drawing.log_axis(up.low, up.high, up.top, {up.band: band} if up.high > up.top else {})
        drawing.lay_out(yaxis={"minor": {"ticks": ""}})
    return drawing.figure()


def _across(xs: pd.Series, named: float, limit: float | None) -> labels.Place:
    """Return the ends of the x axis; with a limit of the cost, up to `BEYOND` times it and the highest `named` cost."""
    least, most = xs.min(), xs.max()
    if limit is not None:
        least, most = min(least, limit), max(limit, min(most, max(BEYOND * limit, named)))
    wide = most - least or abs(most) or 1.0
    return least - 0.08 * wide, most + 0.08 * wide


def _hover_text(row: TableRow, cost: Axis, quality: Quality) -> str:
    """Return the hover text: name, chain, quality, cost, packed size, and the missed limits."""
    interval, text = interval_of(row, quality), quality.words(row)
    text = text if quality.drawn != quality.column else f"{quality.name} {text}"
    if interval:
        bounds = f"{UNADJUSTED} {interval}"
        text += f"<br>relative to dense: {bounds} points" if quality.lost else f"<br>{bounds}"
    if quality.drawn != quality.column:
        text += f"<br>{quality.name} {row[quality.column]:.4g}"
    costs = dict.fromkeys((cost.column, PACKED.column))
    paid = [LIMITS[column].value(row[column]) for column in costs if pd.notna(row[column])]
    misses = row.get("misses")
    return "<br>".join([f"<b>{row['name']}</b>", str(row["chain"]), text, *paid, *([misses] if misses else [])])


def _draw_fronts(
    plot: Plot, rows: pd.DataFrame, quality: Quality, limit: float | None, theme: Theme
) -> list[labels.Place]:
    """Draw the Pareto front within the budget, and that of all if it differs; return places on the former."""
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
    front = front[front["x"] <= end]
    if front.empty:
        return []
    name, color, dash = style
    starts, heights = list(front["x"]), list(front["height"])
    spans = zip(starts, [*starts[1:], end], heights, strict=True)
    corners = [(x, height) for start, stop, height in spans for x in (start, stop)]
    xs, ys = zip(*corners, strict=True)
    drawing.line(xs, ys, color, 1.4, dash, name=name)
    return corners


def _draw_fitting(drawing: Drawing, rows: pd.DataFrame, theme: Theme) -> None:
    """Draw the variants within the budget: a trace and a legend entry per family, with error bars on the front."""
    known = {name: place for place, name in enumerate(OF_FAMILIES)}
    for name in sorted(rows["family"].unique(), key=lambda name: (known.get(name, len(known)), name)):
        part, style = rows[rows["family"] == name], family_look(name, theme)
        mark = style.marker(theme)
        drawing.entry(name.capitalize(), name, "markers", mark)
        bars = error_bars(part["low"], part["height"], part["high"], part["lies"] & part["front"], style.color)
        drawing.scatter(
            **_points(part), legendgroup=name, marker=mark | {"symbol": _symbols(part, theme)}, error_y=bars
        )


def _draw_rest(drawing: Drawing, rows: pd.DataFrame, theme: Theme) -> None:
    """Draw the variants outside the budget as one trace."""
    if rows.empty:
        return
    grey = {"size": 7, "color": faded(theme.muted, theme), "line": {"width": 0}}
    drawing.scatter(**_points(rows), legendgroup="rest", marker=grey | {"symbol": _symbols(rows, theme)})
    drawing.entry("Outside budget", "rest", "markers", grey | {"symbol": "circle"})


def _draw_estimates(plot: Plot, rows: pd.DataFrame, cost: Axis, theme: Theme) -> None:
    """Draw estimated chains as hollow marks in the styles of their families; a click on one does nothing."""
    if rows.empty:
        return
    hollow = {"size": 9, "line": {"width": 2}}
    for family, part in rows.groupby("family"):
        style = family_look(str(family), theme)
        texts = [
            "<br>".join([f"<b>{row['name']}</b>", str(row["chain"]), "estimated, not measured", *facts(row)])
            for row in part.to_dict("records")
        ]
        plot.drawing.scatter(
            x=part[cost.column],
            y=part["times_dense"],
            mode="markers",
            legendgroup="estimated",
            hovertext=texts,
            hovertemplate="%{hovertext}<extra></extra>",
            marker=hollow | {"symbol": f"{style.symbol}-open", "color": style.color},
        )
        plot.lines += plot.places(part[cost.column], part["times_dense"])
    mark = hollow | {"symbol": "circle-open", "color": theme.muted}
    plot.drawing.entry("Estimated, not measured", "estimated", "markers", mark)


def _points(rows: pd.DataFrame) -> Properties:
    return {
        "x": rows["x"],
        "y": rows["height"],
        "mode": "markers",
        "customdata": rows[["key", "hover_text"]].to_numpy(),
        "hovertemplate": "%{customdata[1]}<extra></extra>",
    }


def _symbols(rows: pd.DataFrame, theme: Theme) -> list[str]:
    there = zip(rows["family"], rows["lies"], strict=True)
    return [family_look(family, theme).symbol if lies else "triangle-up" for family, lies in there]


def _draw_limits(
    plot: Plot, limit: tuple[float | None, float | None], texts: Sequence[str], up: Heights, theme: Theme
) -> None:
    """Draw the limits of both axes with their labels."""
    style = {"color": theme.text, "dash": "dash", "width": 1.4}
    most, best = limit
    if most is not None:
        plot.line((most, most), plot.up, style, "limits")
        if not plot.write_where_free((most, up.top), texts[0], theme.text, "limits"):
            plot.write_where_free((most, up.low), texts[0], theme.text, "limits")
    if best is not None:
        plot.line(plot.across, (best, best), style, "limits")
        plot.write((plot.across[1], best), texts[1], "bottom left", theme.text, "limits")


def _draw_dense(plot: Plot, dense: pd.DataFrame, quality: Quality, limit: float | None, theme: Theme) -> None:
    """Draw the dense model's mark and a line at its quality, labelled off the variants and the cost's `limit`."""
    if dense.empty:
        return
    row = dense.iloc[0]
    height = float(row["height"])
    plot.line(plot.across, (height, height), {"color": theme.text, "dash": "dot", "width": 1}, "Dense")
    mark = {"symbol": family_look(DENSE, theme).symbol, "size": 11, "color": theme.text}
    plot.drawing.scatter(**_points(dense), name="Dense", legendgroup="Dense", marker=mark, showlegend=True)
    ends = plot.across if quality.lower else plot.across[::-1]
    close = limit is not None and abs(ends[0] - limit) < CLOSE * abs(ends[1] - ends[0])
    end = ends[1 if close else 0]
    text = f"dense {format_number(quality.times * row[quality.column])}"
    plot.write_where_free((end, height), text, theme.text, "Dense")


def _name(
    plot: Plot,
    rows: pd.DataFrame,
    chosen: pd.Series,
    quality: Quality,
    front: list[labels.Place],
    theme: Theme,
    first: bool = False,
) -> None:
    """Write the `text` of the chosen points where there is room; that of the `first` one may cover other points."""
    named, rest = rows[chosen], rows[~chosen]
    mine, others, grey = (
        plot.places(part["x"], part["height"]) for part in (named, rest[rest["fits"]], rest[~rest["fits"]])
    )
    bars = [
        place
        for row in rows[rows["front"] & rows["lies"]].dropna(subset=["low", "high"]).to_dict("records")
        for place in labels.along(np.array([plot.place(row["x"], row[end]) for end in ("low", "high")]))
    ]
    unnamed = [] if first else [*others, *grey]
    covered = [*others, *front, *grey, *plot.lines, *bars]
    sides = labels.named(mine, list(named["text"]), SIDES[quality.lower], plot.texts, covered, unnamed)
    for (_, row), side in zip(named.iterrows(), sides, strict=True):
        if side:
            color = theme.text if row["fits"] else theme.muted
            plot.write((row["x"], row["height"]), row["text"], side, color, "names")


def _names(rows: pd.DataFrame) -> list[str]:
    """Return the name of each point in lines."""
    return [labels.wrapped(name, LONGEST) for name in rows["name"]]
