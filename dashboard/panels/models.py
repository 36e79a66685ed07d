"""Several models beside each other on Explore, measured here or in papers, as multiples of their own dense ones."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from core.data.texts import called
from dashboard import data
from dashboard.charts import choices, multiples, points
from dashboard.charts.answer import on_each
from dashboard.charts.figures import RATIO, Axis
from dashboard.exports.files import Item
from dashboard.exports.names import export_name
from dashboard.exports.pivots import Pivot
from dashboard.panels import widgets
from dashboard.panels.binding import BOUND
from dashboard.panels.curve_data import rows_at
from dashboard.panels.pickers import MODELS, Chosen
from dashboard.sharing import shared

MOST = 3  # models that are shown at first
AGAINST = {"what was removed": RATIO, "packed size": multiples.PACKED, "model size": multiples.SIZE}


def pick_against() -> Axis:
    """Let it be chosen what multiples are drawn against, which decides the methods that have a place there."""
    name = st.segmented_control(
        "Against",
        list(AGAINST),
        default=next(iter(AGAINST)),
        required=True,
        key="explore_against",
        help="What rounds weights, or makes the embedding alone smaller, has a place by packed size.",
        **BOUND,
    )
    return AGAINST[name]


def show_models(chosen: Chosen, models: list[str]) -> list[Item]:
    """Show the chosen model beside others that were measured on the same text in windows of the same length."""
    if chosen.measured.empty:
        st.info("No perplexity of this model is there yet; choose another model or text at the left.")
        return []
    corpus, window, axis = str(chosen.corpus), int(chosen.measured["window"].iloc[0]), chosen.axis
    frames = {model: choices.shown(data.frame(model), chosen.methods) for model in models}
    frames[chosen.model] = chosen.measured
    alike = {model: multiples.comparable_rows(frames[model], corpus, window, axis) for model in models}
    points_of = {model: _placed(multiples.multiples(rows), axis) for model, rows in alike.items() if len(rows)}
    there = {model: found for model, found in points_of.items() if len(found)}
    picked = _pick_models(chosen.model, list(there), corpus, window)
    if not picked:
        return []
    found = _together([there[model] for model in picked])
    lit = _pick_series(found)
    shown = _of(found, lit)
    steps = points.amounts(shown)
    if not steps:
        st.info("Choose at least one of the series to show, of which an amount is told.")
        return []
    means = _together([multiples.minus_dense(data.frame(model)) for model in picked])
    on = shown.groupby("where")["model"].nunique()
    first = points.first_amount([step for step in steps if on[step] == on[steps].max()])
    at = None
    if axis == multiples.SIZE:
        at = st.segmented_control(
            points.amount_title(steps), steps, default=first, required=True, key="explore_size_at", **BOUND
        )
        shown = rows_at(shown, at)
    st.markdown(on_each(at or first, shown))
    content = f"multiples-at-{at}" if at else "multiples"
    return _chart_and_table(shown, axis, at, corpus, means, export_name("models", f"{corpus}-{window}", content))


@shared
def _placed(rows: pd.DataFrame, axis: Axis) -> pd.DataFrame:
    """Return the points that have a place on an axis."""
    return rows.dropna(subset=axis.column)


@shared
def _together(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True)


@shared
def _of(rows: pd.DataFrame, series: list[str]) -> pd.DataFrame:
    return rows[rows["of"].isin(series)]


def _chart_and_table(
    shown: pd.DataFrame, axis: Axis, at: str | None, corpus: str, means: pd.DataFrame, file: str
) -> list[Item]:
    """Show points against an axis of amounts, or, where all are `at` one amount, against the models' sizes."""
    draw = partial(multiples.by_size, shown) if at else partial(multiples.by_amount, shown, axis)
    caption = f"Perplexity on {called(corpus)}, divided by that of the same model before compression, of each model by "
    caption += "its own protocol, which is on its own curve, as are errors. Numbers of papers are as they print them."
    best = shown.iloc[int(shown["value"].argmin())]
    chart = widgets.show_chart(
        "explore_multiples",
        partial(draw, corpus=corpus),
        f"With {at} removed. {caption}" if at else caption,
        shown[["model", "of", "where", "value", "perplexity"]],
        file=file,
        pivots=[
            Pivot(f"Times dense, {called(corpus)}", shown, "where", True, group="model", order=points.amounts(shown))
        ],
        alt=f"Perplexity as a multiple of dense, a line for each. Lowest: {best['series']}, {best['value']:.3g}.",
    )
    said = f"{caption} Accuracy: the mean of seven tasks minus the dense model's, in points."
    table = multiples.table(shown, means)
    return [chart, widgets.show_table("explore_models", table, said, multiples.FORMATS, file=f"{file}-table")]


def _pick_models(model: str, there: list[str], corpus: str, window: int) -> list[str]:
    """Let models be chosen, at first the one at the left and others that were measured here, or else in papers."""
    if model not in there:
        st.info(
            f"No compressed {model} has a place here: choose other methods or another text at the left, or something "
            "else to draw against."
        )
        return []
    others = [one for one in there if one != model]
    measured = [one for one in others if one in data.models()]
    chosen = st.pills(
        "Models",
        [model, *others],
        selection_mode="multi",
        default=[model, *(measured or others)[: MOST - 1]],
        key=MODELS,
        help=f"Those with perplexities on {corpus} in windows of {window} tokens, before and after compression.",
        **BOUND,
    )
    if not chosen:
        st.info("Choose at least one model.")
    return [one for one in (model, *others) if one in chosen]


def _pick_series(found: pd.DataFrame) -> list[str]:
    """Let series be chosen that have names and colours, at first those that most of the models have."""
    models = found.groupby("of", sort=False)["model"].nunique()
    there = list(models.sort_values(ascending=False, kind="stable").index)  # first what can be compared
    chosen = st.pills(
        "Shown",
        there,
        selection_mode="multi",
        default=multiples.default_series(found),
        key="explore_multiples_shown",
        help="These have names and colours, and stand in the table and in exports.",
        **BOUND,
    )
    return [name for name in there if name in chosen]
