"""Comparison of several models on Explore: perplexities relative to each model's own dense perplexity."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from core.data.cards import TASKS
from core.data.texts import called
from core.findings.axes import RATIO, Axis
from core.findings.best.answer import on_each
from core.findings.numbers.reporting import listed
from core.findings.numbers.seven import common
from core.findings.rows import choices, points
from core.findings.sharing import shared
from dashboard import data
from dashboard.charts import multiples
from dashboard.charts.curve import styles_of
from dashboard.charts.elements.style import SeriesStyle, look
from dashboard.explore.comparison import chosen_pair
from dashboard.explore.details import POINT, open_points, pick_point, show_details
from dashboard.exports.files import Item, export_name
from dashboard.exports.pivots import Pivot
from dashboard.shared import widgets
from dashboard.shared.binding import BOUND, check_link, segments
from dashboard.shared.pickers import AGAINST, MODELS, Chosen, show_list

CHART, TABLE = "explore_multiples", "explore_models"  # keys
MOST = 3  # models of the first view
AXES = {"pruning ratio": RATIO, "packed size": multiples.PACKED, "model size": multiples.SIZE}


def pick_against() -> Axis:
    """Show the field of the x axis, which decides the methods with a place on the chart."""
    help = "Only the packed-size axis has quantised models and factored embeddings."
    return AXES[segments("Against", list(AXES), AGAINST, "axis", help=help)]


def show_models(chosen: Chosen, models: list[str]) -> list[Item]:
    """Compare the chosen model with others that have perplexities on the same text and window length."""
    if chosen.measured.empty:
        st.info("This model has no perplexity yet. Choose another model or text in the sidebar.")
        return []
    corpus, window, axis = str(chosen.corpus), int(chosen.measured["window"].iloc[0]), chosen.axis
    frames = {model: choices.shown(data.frame(model), chosen.methods) for model in models}
    frames[chosen.model] = chosen.measured
    comparable = {model: multiples.comparable_rows(frames[model], corpus, window, axis) for model in models}
    points_of = {model: _placed(multiples.multiples(rows), axis) for model, rows in comparable.items() if len(rows)}
    there = {model: found for model, found in points_of.items() if len(found)}
    picked = _pick_models(chosen.model, list(there), corpus, window)
    if not picked:
        return []
    found = _together([there[model] for model in picked])
    shown = points.among(found, "of", _pick_series(found))
    steps = points.amounts(shown)
    if not steps:
        st.info("Choose at least one series with a known amount.")
        return []
    tasks = common([multiples.counted_tasks(data.frame(model)) for model in picked])
    means = _together([multiples.minus_dense(data.frame(model), tasks) for model in picked])
    on = shown.groupby("amount_label")["model"].nunique()
    first = points.first_amount([step for step in steps if on[step] == on[steps].max()])
    at = None
    if axis == multiples.SIZE:
        at = segments(points.amount_title(steps), steps, "explore_size_at", "amount", start=first)
        shown = points.rows_at(shown, at)
    st.markdown(on_each(at or first, shown))
    content = f"multiples-at-{at}" if at else "multiples"
    items = _chart_and_table(
        shown, axis, at, corpus, means, tasks, export_name("models", f"{corpus}-{window}", content)
    )
    every = _together([multiples.perplexities(comparable[model]) for model in picked])
    addresses = pick_point(every)
    # The details of a point compare it with the dense model of its own model.
    of_point = every.loc[every["key"] == st.session_state[POINT], "model"]
    show_details(every if chosen_pair() else every[every["model"].isin(of_point)], addresses)
    return items


@shared
def _placed(rows: pd.DataFrame, axis: Axis) -> pd.DataFrame:
    """Return the points with a value on an axis."""
    return rows.dropna(subset=axis.column)


@shared
def _together(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True)


def _chart_and_table(
    shown: pd.DataFrame, axis: Axis, at: str | None, corpus: str, means: pd.DataFrame, tasks: Sequence[str], file: str
) -> list[Item]:
    """Show the points against amounts, or against model sizes if all are `at` one amount."""
    draw = partial(multiples.by_size, shown) if at else partial(multiples.by_amount, shown, axis)
    caption = (
        f"Perplexity on {called(corpus)} divided by that of the same model before compression. Each model has its "
    )
    caption += "own protocol; its curve shows protocol and errors. Published numbers are unchanged."
    best, order = shown.iloc[int(shown["value"].argmin())], points.amounts(shown)
    pivot = Pivot(f"Times dense, {called(corpus)}", shown, "amount_label", True, group="model", order=order)
    chart = widgets.show_chart(
        CHART,
        partial(draw, corpus=corpus),
        f"Amount: {at}. {caption}" if at else caption,
        multiples.exported(shown),
        file=file,
        pivots=[pivot],
        alt="Perplexity as a multiple of dense, a line for each series and model. "
        f"Lowest: {best['series_label']}, {best['amount_label']} ({best['value']:.3g}).",
        on_select=lambda keys: open_points(CHART, [key for key in keys if key]),  # the line of dense has no key
    )
    if tasks:
        named = listed([TASKS[name].label for name in tasks])
        caption += f" Accuracy: the mean of {named}, which count for all models shown, minus dense, in points."
    table = multiples.table(shown, means)

    def ticked(rows: list[int]) -> None:
        open_points(TABLE, [table.index[row] for row in rows])

    file = f"{file}-table"
    return [chart, widgets.show_table(TABLE, table, caption, multiples.FORMATS, file=file, on_select=ticked)]


def _pick_models(model: str, there: list[str], corpus: str, window: int) -> list[str]:
    """Show the field of the models; preselect the sidebar's and others with own results, or else published ones."""
    if model not in there:
        st.info(
            f"No compressed {model} fits this chart. Choose other methods or another text in the sidebar, or another "
            "axis above."
        )
        return []
    others = [one for one in there if one != model]
    measured = [one for one in others if one in data.models()]
    check_link(MODELS, "model", [model, *others])
    chosen = st.pills(
        "Models",
        [model, *others],
        selection_mode="multi",
        default=[model, *(measured or others)[: MOST - 1]],
        key=MODELS,
        help=f"Models with dense and compressed perplexities on {called(corpus)} in windows of {window} tokens.",
        **BOUND,
    )
    if not chosen:
        st.info("Choose at least one model.")
    return [one for one in (model, *others) if one in chosen]


def _pick_series(found: pd.DataFrame) -> list[str]:
    """Show the list of the series, those of most models first, and return the chosen ones."""
    models = found.groupby("of", sort=False)["model"].nunique()
    there = list(models.sort_values(ascending=False, kind="stable").index)
    styles = styles_of(found.assign(series_label=found["of"]), widgets.page_theme())
    plain = {name: look(parts, widgets.page_theme()) for name, parts in zip(found["of"], found["parts"], strict=True)}
    # Lines differ by model, and the styles of equal parts depend on the choice.
    samples = {name: SeriesStyle(one.color, "solid", one.symbol) for name, one in styles.items() if one == plain[name]}
    with st.sidebar:
        chosen = show_list(there, multiples.default_series(found), "explore_multiples_shown", samples)
    return [name for name in there if name in chosen]
