"""Charts of perplexity against the amount, a line for each series with its name at the end, and of training losses."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.amount import Ratio
from core.data.texts import called
from core.findings.axes import RATIO, Axis, perplexity_title
from core.findings.best.budget import meaningful
from core.findings.numbers.reporting import UNADJUSTED, TableRow
from core.findings.rows.points import amounts
from core.notation.formatting import format_number
from core.specs import IMPORTED
from dashboard.charts.elements import labels
from dashboard.charts.elements.drawing import PERCENT, SCREEN, Drawing, error_bars, origin_pairs
from dashboard.charts.elements.style import Properties, SeriesStyle, Theme, faded, hollow, is_hollow, look, looks

BAND, LEVEL = 0.09, 0.06  # shares of the plot's height: the band of diverged points, and each level of labels above
EDGE = 0.12  # share of the band of multiples, from its ends to the points in it
ASIDE = 0.018  # share of the plot's width, from an arrow to its points, so that their bars do not hide it
ARROW_GAP = 0.01  # share of the plot's width, from one arrow to the next
THIN = 0.012  # share of the plot's width: the mark of the chosen amount, if all its points are at one place
HALO = 26  # px
TOP = 50  # px above the plot: the title, and below it the name of the chosen amount
HEIGHT = 440  # px
SLOT = 0.1  # ratio from the highest ratio to the first N:M amount, and from one to the next
PLOT = HEIGHT - 80  # px
MOST = 5.0  # times dense: the end of the axis of multiples
BAND_OF_MULTIPLES = 0.2  # share of the plot's height
LETTER, LINE, BETWEEN = 6.4, 15, 6  # px: of a label at the end of a line, and between labels
AFTER = 12  # px from the end of the plot to a label


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
    multiples: bool = False,
) -> go.Figure:
    """Draw perplexity (log) against an axis: lines through ratios or bits, hollow markers for N:M amounts.

    Along the pruning ratio, each N:M amount has a place of its own at the right of the highest ratio. Diverged
    points are in a separate band, labelled with their values and without lines. The values are perplexities or, as
    `multiples`, those over dense, whose band begins at `MOST` and has no labels.

    `points` are rows of `core.findings.rows.points.collapse`, and `dense` is the dense model's, or none. Series that
    are not `bright` are thin and grey, and only hover texts name them; None highlights all. `at` is the amount to mark,
    an `amount_label`: a line at its place, or a band over its highlighted points. `winners` are keys of points with a
    halo, and series `elsewhere`, on other texts, are hollow.
    """
    points, dense = (one.assign(perplexity=one.get("perplexity", one["value"])) for one in (points, dense))
    trained = points["ratio"].isna() & (points["method"] != IMPORTED)  # the dense model
    points = points.assign(ratio=points["ratio"].mask(trained, 0.0))
    points = points.dropna(subset=[axis.column, "value"])
    slots = _slots_of(points) if axis == RATIO else {}
    points = points.assign(**{axis.column: points["pattern"].map(slots).fillna(points[axis.column])})
    title = multiples_title(corpus, bool(elsewhere)) if multiples else perplexity_title(corpus)
    drawing = Drawing(theme, HEIGHT, title, axis.title)
    drawing.lay_out(showlegend=False, xaxis=PERCENT if axis.percent else {})  # names are at the ends of lines
    cap = MOST if multiples else _cap_of(dense)
    if points.empty and dense.empty:
        return drawing.figure()
    if slots:
        drawing.lay_out(xaxis=_slot_ticks(points, slots))
    span = _span_of(points, dense, axis)
    highlighted = points["series_label"].isin(points["series_label"] if bright is None else bright)
    named, behind = points[highlighted], points[~highlighted]
    finite, diverged = points[points["value"] <= cap], named[named["value"] > cap]
    over = labels.place_diverged_labels(diverged[:0] if multiples else diverged, axis.column, span)
    levels = 1 + over["level"].max() if len(over) else 0
    share = (BAND_OF_MULTIPLES if multiples else BAND + LEVEL * levels) if (points["value"] > cap).any() else 0.0
    low, top, high = _heights(pd.concat([finite, dense]), cap, share)
    place = top * (high / top) ** (0.3 if levels else 0.5) if share else math.nan
    frame = Frame(
        drawing, axis, theme, span, (low, high), cap, place, top, _most(points["value"]) if multiples else None
    )
    if share:
        drawing.box(span, (top, high), theme.band)
    of_series = _by_series(named)
    styles = styles_of(points, theme, elsewhere)
    _mark_amount(frame, named[named["amount_label"] == at])
    won = named[named["key"].isin(winners)]
    if len(won):  # behind the points
        halo = {"size": HALO, "color": faded(theme.muted, theme)}
        drawing.scatter(
            x=won[axis.column], y=won["value"].map(frame.height_of), mode="markers", marker=halo, meta=SCREEN
        )
    for series, rows in _by_series(behind).items():
        style = look(rows[0]["parts"], theme)
        _draw_series(frame, series, rows, hollow(style) if series in elsewhere else style, quiet=True)
    for series, rows in of_series.items():
        _draw_series(frame, series, rows, styles[series])
    for pattern in dict.fromkeys(filter(is_hollow, named["pattern"])):  # for prints, like the series' entries
        mark = SeriesStyle(theme.muted, "solid", "circle").marker(theme, pattern)
        drawing.entry(f"{pattern} sparsity", f"pattern {pattern}", "markers", mark)
    if len(behind):
        grey = SeriesStyle(faded(theme.muted, theme), "solid", "circle")
        line = {"color": grey.color, "width": 1}
        drawing.entry("grey: other variants", "others", "lines+markers", grey.marker(theme), line)
    _draw_dense(frame, dense)
    _arrows(frame, named[named["value"] <= cap], styles)
    unnamed = named[(named["value"] <= cap) & ~named["pattern"].isin(slots)]  # the axis names the slots
    at_marks = labels.place_labels(unnamed, axis.column, span, (low, high))
    for name, part in pd.concat([over.assign(place=place), at_marks]).groupby("series_label", sort=False):
        x, y, text, side = (part[column] for column in (axis.column, "place", "text", "side"))
        drawing.label(x, y, text, side, 11, styles[str(name)].color, cliponaxis=False)
    _write_names(frame, of_series, styles)
    drawing.log_axis(low, high, top, {place: f"over {MOST:g}" if multiples else "diverged"} if share else {})
    drawing.lay_out(xaxis={"range": span})
    return drawing.figure()


def multiples_title(corpus: str, several: bool) -> str:
    """Return the title of a chart of perplexities over dense, on one text or on `several`."""
    return f"Perplexity {'on each text' if several else f'on {called(corpus)}'}, times dense (log scale)"


def explained(points: pd.DataFrame, dense: pd.DataFrame, multiples: bool = False) -> str:
    """Return the part of a caption that explains the marks of `perplexity_curve` in use."""
    text = ""
    if (points["low"] < points["high"]).any() and multiples:
        text += f" Bars: {UNADJUSTED}, of paired differences to dense."
    elif (points["low"] < points["high"]).any():
        over_seeds = ", or the range over seeds" if (points["seeds"] > 1).any() else ""
        text += f" Bars: one standard error{over_seeds}."
    if origin_pairs(points):
        text += " Arrows connect a pruned model to its reconstructed or fine-tuned version."
    if points["pattern"].map(is_hollow).any():
        text += " Hollow markers: N:M sparsity."
    if (points["value"] > (MOST if multiples else _cap_of(dense))).any():
        text += f" Grey band: more than {MOST:g} times dense." if multiples else " Grey band: diverged models."
    return text


def styles_of(points: pd.DataFrame, theme: Theme, elsewhere: Collection[str] = ()) -> dict[str, SeriesStyle]:
    """Return the style of each series on this chart; it stays the same whichever series are highlighted.

    Series `elsewhere`, on other texts, are hollow.
    """
    there = points.drop_duplicates("series_label")[["series_label", "parts", "series_chain"]]
    plain = looks({series: (parts, chain) for series, parts, chain in there.itertuples(index=False)}, theme)
    return {series: hollow(style) if series in elsewhere else style for series, style in plain.items()}


def _mark_amount(frame: Frame, points: pd.DataFrame) -> None:
    """Mark an amount, that of the points, by a line or a band over the whole height, with its name at the top."""
    if points.empty:
        return
    drawing, span, theme = frame.drawing, frame.span, frame.theme
    drawing.lay_out(margin={"t": TOP})
    least, most = points[frame.axis.column].min(), points[frame.axis.column].max()
    middle, half = (least + most) / 2, THIN * (span[1] - span[0]) / 2
    ends = min(least, middle - half), max(most, middle + half)
    drawing.box(ends, frame.height, theme.chosen, meta=SCREEN)
    place, name = ([middle], [frame.height[1]]), [f"<b>{points['amount_label'].iloc[0]}</b>"]
    drawing.label(*place, name, "top center", 12, theme.text, cliponaxis=False, meta=SCREEN)


def _draw_series(frame: Frame, series: str, rows: Sequence[TableRow], style: SeriesStyle, quiet: bool = False) -> None:
    """Draw a series: the line through its ratios or bits, N:M amounts, and diverged points in their band."""
    drawing, axis, theme, cap, own = frame.drawing, frame.axis, frame.theme, frame.cap, style.color
    if quiet:
        style = SeriesStyle(faded(theme.muted, theme), style.dash, style.symbol)
    curve = _ordered(rows, axis)
    patterns = sorted(
        (row for row in rows if is_hollow(row["pattern"]) and row["value"] <= cap), key=itemgetter("value")
    )
    diverged = [row for row in rows if row["value"] > cap]
    for part, mode in ((curve, "lines+markers"), (patterns, "markers"), (diverged, "markers")):
        # Lines leave out diverged points, which are drawn separately.
        heights = (row["value"] if row["value"] <= cap else math.nan for row in part)
        shown = np.array([*heights] if part is curve else [frame.height_of(row["value"]) for row in part], float)
        if np.isnan(shown).all():  # also if `part` is empty
            continue
        mark = style.marker(theme, part[0]["pattern"])
        mark["symbol"] = ["triangle-up" if row["value"] > cap else style.symbol_of(row["pattern"]) for row in part]
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
            error_y=None if quiet else error_bars(low, shown, high, [row["value"] <= cap for row in part], style.color),
            customdata=[
                [row["key"], row["name"], row["perplexity"], row["spread"], row["chain"] or ""] for row in part
            ],
            hovertemplate="<b>%{customdata[1]}</b><br>perplexity %{customdata[2]:.4g}%{customdata[3]}"
            "<br>%{customdata[4]}<extra></extra>",
            hoverlabel={"bgcolor": own},  # also for grey and hollow marks
        )
    if not quiet:  # a print may need a legend
        line = {"color": style.color, "dash": style.dash, "width": 2} if curve else None
        mark = style.marker(theme, patterns[0]["pattern"] if patterns and not curve else None)
        drawing.entry(series, series, "lines+markers" if curve else "markers", mark, line)


def _by_series(points: pd.DataFrame) -> dict[str, list[TableRow]]:
    """Group the points by series; faster than pandas for many series of few points."""
    found: dict[str, list[TableRow]] = {}
    for row in points.to_dict("records"):
        found.setdefault(row["series_label"], []).append(row)
    return found


def _draw_dense(frame: Frame, dense: pd.DataFrame) -> None:
    if dense.empty:
        return
    drawing, axis, theme, span = frame.drawing, frame.axis, frame.theme, frame.span
    row = dense.iloc[0]
    place = 0.0 if axis.column == "ratio" else row[axis.column]
    if place > span[1]:
        place = math.nan
    right = bool(pd.isna(place) or place < sum(span) / 2)  # the label is on the other side than the marker
    drawing.line(span, [row["value"]] * 2, theme.text, 1.4, "dot")
    side, text = (
        "bottom left" if right else "bottom right",
        [f"dense {format_number(row['perplexity'])}"],
    )
    drawing.label([span[right]], [row["value"]], text, side, 12, theme.text)
    if pd.notna(place):
        drawing.scatter(
            x=[place],
            y=[row["value"]],
            mode="markers",
            name="Dense",
            marker={"symbol": look("dense", theme).symbol, "size": 11, "color": theme.text},
            customdata=[[row["key"], "nothing removed", row["perplexity"], row["spread"]]],
            hovertemplate="<b>Dense</b><br>perplexity %{customdata[2]:.4g}%{customdata[3]}<extra></extra>",
        )


def _arrows(frame: Frame, points: pd.DataFrame, styles: Mapping[str, SeriesStyle]) -> None:
    """Draw an arrow to each reconstructed or fine-tuned point from its origin, next to both."""
    there: Counter[float] = Counter()  # arrows at each ratio
    for untuned, tuned in origin_pairs(points):
        aside = (ASIDE + ARROW_GAP * there[tuned["ratio"]]) * (frame.span[1] - frame.span[0])
        there[tuned["ratio"]] += 1
        start, end = ((row[frame.axis.column] + aside, row["value"]) for row in (untuned, tuned))
        frame.drawing.arrow(start, end, tuned["series_label"], styles[tuned["series_label"]].color)


def loss_curve(rows: pd.DataFrame, theme: Theme) -> go.Figure:
    """Draw training losses by step, a line for each `split`; `rows`: split, step, loss (nats per token)."""
    drawing = Drawing(theme, 300, "Loss (nats per token, lower is better)", "Training step")
    looks = ((theme.muted, "dot", "circle"), (theme.palette[1], "solid", "square"))
    for (split, part), (color, dash, symbol) in zip(rows.groupby("split", sort=False), looks, strict=False):
        style = SeriesStyle(color, dash, symbol)
        hover = f"<b>{split}</b>, step %{{x}}<br>loss %{{y:.4f}}<extra></extra>"
        drawing.curve(part["step"], part["loss"], style, name=str(split), hovertemplate=hover)
    return drawing.figure()


class Frame(NamedTuple):
    """The plot of a curve, with the ends of both axes."""

    drawing: Drawing
    axis: Axis
    theme: Theme
    span: tuple[float, float]
    height: tuple[float, float]
    cap: float  # above it, points have diverged
    place: float  # height of diverged points
    top: float  # end of the axis below their band
    most: float | None = None  # highest multiple, up to which the band of multiples is a coarser log axis

    def height_of(self, value: float) -> float:
        """Return the height of a point on the plot."""
        if value <= self.cap:
            return value
        if self.most is None:
            return self.place
        above = min(1.0, math.log(value / self.cap) / math.log(self.most / self.cap))
        height: float = self.top * (self.height[1] / self.top) ** (EDGE + (1 - 2 * EDGE) * above)
        return height


def _slots_of(points: pd.DataFrame) -> dict[str, float]:
    """Return a place on the axis of ratios for each N:M amount; markers of all series at 50 % would hide each other."""
    hollow = points["pattern"].map(is_hollow).astype(bool)
    top = points.loc[~hollow if (~hollow).any() else hollow, "ratio"].max()
    return {label: round(top + SLOT * place, 3) for place, label in enumerate(amounts(points[hollow]), 1)}


def _slot_ticks(points: pd.DataFrame, slots: Mapping[str, float]) -> Properties:
    """Return the ticks of an axis of ratios: tenths up to the highest ratio, then the N:M amounts."""
    top = points.loc[~points["pattern"].isin(slots), "ratio"].max()
    tenths = [tenth / 10 for tenth in range(11) if tenth / 10 <= top]
    return {
        "tickvals": [*tenths, *slots.values()],
        "ticktext": [*(Ratio(tenth).label for tenth in tenths), *slots],
    }


def _most(multiples: pd.Series) -> float:
    """Return the highest finite multiple, at least twice the end of the axis."""
    return max(2 * MOST, float(multiples[multiples < math.inf].max()))


def _cap_of(dense: pd.DataFrame) -> float:
    """Return the perplexity above which a point has diverged."""
    return float(meaningful(math.nan if dense.empty else dense["value"].iloc[0]))


def _span_of(points: pd.DataFrame, dense: pd.DataFrame, axis: Axis) -> tuple[float, float]:
    """Return the ends of the x axis; it excludes a dense model that is so far off that the points would crowd."""
    drawn, base = points[axis.column], dense[axis.column].dropna()
    wide = drawn.max() - drawn.min()
    far = wide > 0 and not axis.percent and (base - drawn.max()).gt(wide).any()
    there = [*drawn, *([] if far else base)] or [0.0]
    least, most = (0.0 if axis.percent else min(there)), max(there)
    room = most - least or abs(most) or 1.0
    return least - (0.03 if axis.percent else 0.06) * room, most + 0.06 * room


def _heights(finite: pd.DataFrame, cap: float, share: float) -> tuple[float, float, float]:
    """Return three heights: bottom of the y axis, top of the finite points, and axis top (`share` above)."""
    values = pd.concat([finite[name].clip(upper=cap) for name in ("low", "value", "high")])
    values = values[values > 0] if len(values) else pd.Series([1.0])
    reach = max(values.max() / values.min(), 1.5)
    low, top = values.min() / reach**0.09, values.min() * reach**1.07
    return low, top, low * (top / low) ** (1 / (1 - share))


def _ordered(rows: Sequence[TableRow], axis: Axis) -> list[TableRow]:
    """Return the points on the line of a series, in order along the axis."""
    return sorted((row for row in rows if not is_hollow(row["pattern"])), key=itemgetter(axis.column))


def _write_names(frame: Frame, of_series: Mapping[str, Sequence[TableRow]], styles: Mapping[str, SeriesStyle]) -> None:
    """Write each series' name at the right of the plot, near the height of its end, with a thin line to it."""
    drawing, axis, height, right = frame.drawing, frame.axis, frame.height, frame.span[1]
    ends = []
    for series, rows in of_series.items():
        last = (_ordered(rows, axis) or sorted(rows, key=itemgetter(axis.column)))[-1]
        ends.append((last[axis.column], frame.height_of(last["value"]), labels.wrapped(series), styles[series]))
    if not ends:
        return
    decades = math.log(height[1] / height[0])
    wanted = [math.log(y / height[0]) / decades for _, y, _, _ in ends]
    tall = [(LINE * (1 + text.count("<br>")) + BETWEEN) / PLOT for *_, text, _ in ends]
    pixels = LETTER * max(len(part) for *_, text, _ in ends for part in text.split("<br>"))
    drawing.lay_out(margin={"r": round(AFTER + pixels + 4)})
    for (x, y, text, style), at in zip(ends, labels.spread(wanted, tall), strict=True):
        level = height[0] * math.exp(decades * at)
        dash = "1px,3px"  # unlike the dashes of series
        drawing.line([x, right], [y, level], style.color, 1, dash, meta=SCREEN, opacity=0.7)
        drawing.label([right], [level], [text], "middle right", 12, frame.theme.text, cliponaxis=False, meta=SCREEN)
