"""Chart of perplexity against the amount, a line for each series with its name at the end."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.findings.axes import RATIO, Axis, perplexity_title
from core.findings.numbers.reporting import TableRow
from core.notation.formatting import format_number
from core.specs import IMPORTED
from dashboard.charts import curve_axes as axes
from dashboard.charts.elements import labels, marks
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.figures import PERCENT, SCREEN, log_axis
from dashboard.charts.elements.style import SeriesStyle, Theme, faded, hollow, look, looks

BAND, LEVEL = 0.09, 0.06  # shares of the plot's height: the band of diverged points, and each level of labels above
ASIDE = 0.018  # share of the plot's width, from an arrow to its points, so that their bars do not hide it
ARROW_GAP = 0.01  # share of the plot's width, from one arrow to the next
THIN = 0.012  # share of the plot's width: the mark of the chosen amount, if all its points are at one place
RING = 18  # px
TOP = 50  # px above the plot: the title, and below it the name of the chosen amount


def perplexity_curve(
    points: pd.DataFrame,
    dense: pd.DataFrame,
    axis: Axis,
    theme: Theme,
    corpus: str,
    bright: Collection[str] | None = None,
    at: str | None = None,
    winners: Collection[str] = (),
    elsewhere: Collection[str] = (),
    title: str = "",
) -> go.Figure:
    """Draw perplexity (log) against an axis: lines through ratios or bits, hollow markers for N:M amounts.

    Along the pruning ratio, each N:M amount has a place of its own at the right of the highest ratio. Diverged
    points are in a separate band, labelled with their values and without lines.

    Args:
        points: Rows of `core.findings.rows.points.collapse`.
        dense: The dense model's row, or none.
        axis: The x axis.
        theme: Colours.
        corpus: Corpus of the perplexities.
        bright: Highlighted series; the others are thin and grey, and only hover texts name them. None: all.
        at: Amount to mark, an `amount_label`: a line at its place, or a band over its highlighted points.
        winners: Keys of points with a ring around them.
        elsewhere: Series on other texts: hollow markers on dotted lines.
        title: Title of other values than perplexities.
    """
    trained = points["ratio"].isna() & (points["method"] != IMPORTED)  # the dense model
    points = points.assign(ratio=points["ratio"].mask(trained, 0.0))
    points = points.dropna(subset=[axis.column, "value"])
    slots = axes.slots(points) if axis == RATIO else {}
    points = points.assign(**{axis.column: points["pattern"].map(slots).fillna(points[axis.column])})
    drawing = Drawing(theme, axes.HEIGHT, title or perplexity_title(corpus), axis.title)
    drawing.lay_out(showlegend=False, xaxis=PERCENT if axis.percent else {})  # names are at the ends of lines
    cap = axes.cap(dense)
    if points.empty and dense.empty:
        return drawing.figure()
    if slots:
        drawing.lay_out(xaxis=axes.slot_ticks(points, slots))
    span = axes.span(points, dense, axis)
    highlighted = points["series_label"].isin(points["series_label"] if bright is None else bright)
    named, behind = points[highlighted], points[~highlighted]
    finite, diverged = points[points["value"] <= cap], named[named["value"] > cap]
    over = labels.place_diverged_labels(diverged, axis.column, span)
    levels = 1 + over["level"].max() if len(over) else 0
    share = BAND + LEVEL * levels if (points["value"] > cap).any() else 0.0
    low, top, high = axes.heights(pd.concat([finite, dense]), cap, share)
    place = top * (high / top) ** (0.3 if levels else 0.5) if share else math.nan
    frame = axes.Frame(drawing, axis, theme, span, (low, high), cap, place)
    if share:
        marks.box(drawing, span, (top, high), theme.band)
    of_series = _by_series(named)
    styles = styles_of(points, theme, elsewhere)
    _mark_amount(frame, named[named["amount_label"] == at])
    for series, rows in _by_series(behind).items():
        style = look(rows[0]["parts"], theme)
        _draw_series(frame, series, rows, hollow(style) if series in elsewhere else style, quiet=True)
    for series, rows in of_series.items():
        _draw_series(frame, series, rows, styles[series])
    for pattern in dict.fromkeys(filter(marks.is_hollow, named["pattern"])):  # for prints, like the series' entries
        mark = marks.marker(SeriesStyle(theme.muted, "solid", "circle"), theme, pattern)
        marks.entry(drawing, f"{pattern} sparsity", f"pattern {pattern}", "markers", mark)
    if len(behind):
        grey = SeriesStyle(faded(theme.muted, theme), "solid", "circle")
        line = {"color": grey.color, "width": 1}
        marks.entry(drawing, "grey: other variants", "others", "lines+markers", marks.marker(grey, theme), line)
    won = named[named["key"].isin(winners)]
    if len(won):
        marks.ring(drawing, won[axis.column], won["value"].map(frame.height_of), RING, theme.text, meta=SCREEN)
    _draw_dense(frame, dense)
    _arrows(frame, named[named["value"] <= cap], styles)
    unnamed = named[(named["value"] <= cap) & ~named["pattern"].isin(slots)]  # the axis names the slots
    at_marks = labels.place_labels(unnamed, axis.column, span, (low, high))
    for name, part in pd.concat([over.assign(place=place), at_marks]).groupby("series_label", sort=False):
        x, y, text, side = (part[column] for column in (axis.column, "place", "text", "side"))
        marks.write(drawing, x, y, text, side, 11, styles[str(name)].color, cliponaxis=False)
    axes.write_names(frame, of_series, styles)
    log_axis(drawing, low, high, top, {place: "diverged"} if share else {})
    drawing.lay_out(xaxis={"range": span})
    return drawing.figure()


def explained(points: pd.DataFrame, dense: pd.DataFrame) -> str:
    """Return the part of a caption that explains the marks of `perplexity_curve` in use."""
    text = ""
    if (points["low"] < points["high"]).any():
        over_seeds = ", or the range over seeds" if (points["seeds"] > 1).any() else ""
        text += f" Bars: one standard error{over_seeds}."
    if marks.pairs(points):
        text += " Arrows connect a pruned model to its reconstructed or fine-tuned version."
    if points["pattern"].map(marks.is_hollow).any():
        text += " Hollow markers: N:M sparsity."
    if (points["value"] > axes.cap(dense)).any():
        text += " Grey band: diverged models."
    return text


def styles_of(points: pd.DataFrame, theme: Theme, elsewhere: Collection[str] = ()) -> dict[str, SeriesStyle]:
    """Return the style of each series on this chart; it stays the same whichever series are highlighted.

    Series `elsewhere`, on other texts, are hollow.
    """
    there = points.drop_duplicates("series_label")[["series_label", "parts", "series_chain"]]
    plain = looks({series: (parts, chain) for series, parts, chain in there.itertuples(index=False)}, theme)
    return {series: hollow(style) if series in elsewhere else style for series, style in plain.items()}


def _mark_amount(frame: axes.Frame, points: pd.DataFrame) -> None:
    """Mark an amount, that of the points, by a line or a band over the whole height, with its name at the top."""
    if points.empty:
        return
    drawing, span, theme = frame.drawing, frame.span, frame.theme
    drawing.lay_out(margin={"t": TOP})
    least, most = points[frame.axis.column].min(), points[frame.axis.column].max()
    middle, half = (least + most) / 2, THIN * (span[1] - span[0]) / 2
    ends = min(least, middle - half), max(most, middle + half)
    marks.box(drawing, ends, frame.height, theme.chosen, meta=SCREEN)
    place, name = ([middle], [frame.height[1]]), [f"<b>{points['amount_label'].iloc[0]}</b>"]
    marks.write(drawing, *place, name, "top center", 12, theme.text, cliponaxis=False, meta=SCREEN)


def _draw_series(
    frame: axes.Frame, series: str, rows: Sequence[TableRow], style: SeriesStyle, quiet: bool = False
) -> None:
    """Draw a series: the line through its ratios or bits, N:M amounts, and diverged points in their band."""
    drawing, axis, theme, cap, own = frame.drawing, frame.axis, frame.theme, frame.cap, style.color
    if quiet:
        style = SeriesStyle(faded(theme.muted, theme), style.dash, style.symbol)
    curve = axes.ordered(rows, axis)
    patterns = sorted(
        (row for row in rows if marks.is_hollow(row["pattern"]) and row["value"] <= cap), key=itemgetter("value")
    )
    diverged = [row for row in rows if row["value"] > cap]
    for part, mode in ((curve, "lines+markers"), (patterns, "markers"), (diverged, "markers")):
        # Lines leave out diverged points, which are drawn separately.
        apart = math.nan if part is curve else frame.place
        shown = np.array([apart if row["value"] > cap else row["value"] for row in part], float)
        if np.isnan(shown).all():  # also if `part` is empty
            continue
        mark = marks.marker(style, theme, part[0]["pattern"])
        mark["symbol"] = ["triangle-up" if row["value"] > cap else marks.symbol(style, row["pattern"]) for row in part]
        if quiet:
            mark["size"] = 5
        low, high = ([row[end] for row in part] for end in ("low", "high"))
        drawing.scatter(
            x=np.array([row[axis.column] for row in part]),
            y=shown,
            mode=mode,
            name=series,
            legendgroup=series,
            showlegend=False,
            line={"color": style.color, "dash": style.dash, "width": 1 if quiet else 2},
            marker=mark,
            error_y=None if quiet else marks.bars(low, shown, high, [row["value"] <= cap for row in part], style.color),
            customdata=[[row[of] for of in ("key", "amount_label", "value", "spread")] for row in part],
            hovertemplate=f"<b>{series}</b>, %{{customdata[1]}}<br>perplexity %{{customdata[2]:.4g}}"
            "%{customdata[3]}<extra></extra>",
            hoverlabel={"bgcolor": own},  # also for grey and hollow marks
        )
    if not quiet:  # a print may need a legend
        line = {"color": style.color, "dash": style.dash, "width": 2} if curve else None
        mark = marks.marker(style, theme, patterns[0]["pattern"] if patterns and not curve else None)
        marks.entry(drawing, series, series, "lines+markers" if curve else "markers", mark, line)


def _by_series(points: pd.DataFrame) -> dict[str, list[TableRow]]:
    """Group the points by series; faster than pandas for many series of few points."""
    found: dict[str, list[TableRow]] = {}
    for row in points.to_dict("records"):
        found.setdefault(row["series_label"], []).append(row)
    return found


def _draw_dense(frame: axes.Frame, dense: pd.DataFrame) -> None:
    if dense.empty:
        return
    drawing, axis, theme, span = frame.drawing, frame.axis, frame.theme, frame.span
    row = dense.iloc[0]
    place = 0.0 if axis.column == "ratio" else row[axis.column]
    if place > span[1]:
        place = math.nan
    right = bool(pd.isna(place) or place < sum(span) / 2)  # the label is on the other side than the marker
    line = {"color": theme.text, "dash": "dot", "width": 1.4}
    drawing.scatter(x=span, y=[row["value"]] * 2, mode="lines", line=line)
    side, text = "bottom left" if right else "bottom right", [f"dense {format_number(row['value'])}"]
    marks.write(drawing, [span[right]], [row["value"]], text, side, 12, theme.text)
    if pd.notna(place):
        drawing.scatter(
            x=[place],
            y=[row["value"]],
            mode="markers",
            name="Dense",
            marker={"symbol": look("dense", theme).symbol, "size": 11, "color": theme.text},
            customdata=[[row["key"], "nothing removed", row["value"], row["spread"]]],
            hovertemplate="<b>Dense</b><br>perplexity %{customdata[2]:.4g}%{customdata[3]}<extra></extra>",
        )


def _arrows(frame: axes.Frame, points: pd.DataFrame, styles: Mapping[str, SeriesStyle]) -> None:
    """Draw an arrow to each reconstructed or fine-tuned point from its origin, next to both."""
    there: Counter[float] = Counter()  # arrows at each ratio
    for untuned, tuned in marks.pairs(points):
        aside = (ASIDE + ARROW_GAP * there[tuned["ratio"]]) * (frame.span[1] - frame.span[0])
        there[tuned["ratio"]] += 1
        start, end = ((row[frame.axis.column] + aside, row["value"]) for row in (untuned, tuned))
        marks.arrow(frame.drawing, start, end, tuned["series_label"], styles[tuned["series_label"]].color)
