"""Explore page: quality and size of a model's variants at every amount of compression."""

from functools import partial

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.findings import axes
from core.findings.curve import best_at, score
from core.findings.pairs.comparison import FORMATS, VERDICTS, WIDTHS
from core.findings.rows import points
from core.findings.rows.other_texts import with_own_dense
from core.metrics import MEANS
from dashboard import data
from dashboard.charts import curve
from dashboard.explore import details
from dashboard.explore.accuracy import show_accuracy
from dashboard.explore.budget import show_tradeoff
from dashboard.explore.comparison import significance_of_best
from dashboard.explore.curve_data import (
    Described,
    Shown,
    curve_data,
    drawn_points,
    multiples_data,
    points_data,
    series_of,
    shown_series,
    with_winners,
)
from dashboard.explore.fewshot import show_shots
from dashboard.explore.headline import show_answer, show_elsewhere, show_headline
from dashboard.explore.missing import offer_points
from dashboard.explore.models import pick_against, show_models
from dashboard.exports.files import Item
from dashboard.exports.pivots import Pivot
from dashboard.shared import links, widgets
from dashboard.shared.binding import arrive, segments
from dashboard.shared.glossary import terms
from dashboard.shared.pickers import AT, Chosen, Picked, pick, pick_elsewhere, pick_model, pick_series, rename_values
from dashboard.shared.stories.tour import show_tour
from dashboard.shared.widgets import Draw

CURVE, TRADE_OFF, MODELS, FEW_SHOT = MODES = ("By amount", "By size", "Several models", "Few-shot")
MODE = "explore_mode"  # key
UNITS = "Times dense", "Perplexity"
FILES = {TRADE_OFF: "tradeoff", MODELS: "models", FEW_SHOT: "fewshot"}  # names of the pages' exports
CHART, TABLE = "explore_curve", "explore_points"  # keys
SIDE = 500  # minimum width in px of two charts in a row


def show_curve(
    shown: Shown, at: str, winners: list[str], elsewhere: pd.DataFrame, picked: list[str], multiples: bool
) -> list[Item]:
    """Show the perplexity curve, with a mark at the chosen amount and a halo around each of the `winners` there.

    It shows perplexities, or `multiples` of dense, as points `elsewhere`, on other texts, need. `picked` are the chosen
    series of both.
    """
    chosen = shown.chosen
    if shown.highlighted[chosen.axis.column].isna().all():
        st.info("These points have no latency yet. Enable Latency on the Run page to measure it.")
        return []
    names = series_of(shown.highlighted)
    plain = curve_data(shown)
    found = multiples_data(shown, elsewhere, picked) if multiples else plain
    names = [*names, *(name for name in series_of(elsewhere) if name in picked)]
    others = series_of(elsewhere)

    def draw(of: Described) -> Draw:
        return partial(
            curve.perplexity_curve,
            of.drawn,
            of.dense,
            chosen.axis,
            corpus=str(chosen.corpus),
            bright=names,
            at=at,
            winners=winners,
            elsewhere=others,
            multiples=multiples and of is found,
        )

    item = widgets.show_chart(
        CHART,
        draw(found),
        found.caption,
        found.table.drop(columns=["key", "spread"]),
        file=chosen.file("perplexity"),
        pivots=[perplexities_of(shown)],
        alt=found.alt,
        on_select=lambda keys: clicked(keys, found.drawn),
        explained=found.explained,
        printed=None if others else (draw(plain), plain.explained),
    )
    return [item]


def perplexities_of(shown: Shown) -> Pivot:
    """Return the perplexities in the layout of papers: method by amount."""
    rows, order = points.with_dense(shown.dense, shown.highlighted), points.amounts(shown.highlighted)
    title, test = f"Perplexity on {shown.chosen.corpus_name}", significance_of_best(shown.chosen.measured)
    return Pivot(title, rows, "amount_label", True, order=order, is_distinguishable=test)


def fidelities_of(shown: Shown) -> list[Pivot]:
    """Return the KL divergences and agreements, where measured, in the layout of papers: method by amount."""
    pivots = []
    every = shown.highlighted.drop(columns=["low", "high"])  # which are those of the perplexity
    for one in MEANS.values():
        rows = every.assign(value=one.times * every[one.name]).dropna(subset="value")
        if len(rows):
            form, order = ".1f" if one.percent else None, points.amounts(rows)
            pivots.append(Pivot(one.title, rows, "amount_label", one.lower, form=form, order=order))
    return pivots


def clicked(keys: list[str], found: pd.DataFrame) -> None:
    """Choose the amount of clicked points, and open the details of one or the comparison of two."""
    details.open_points(CHART, keys)
    where = found.loc[found["key"].isin(keys), "amount_label"]
    if where.nunique() == 1:
        st.session_state[AT] = where.iloc[0]


def pick_amount(steps: list[str], start: str) -> str:
    """Show the field of the amounts if there are several, and return the chosen one."""
    if len(steps) < 2:
        return start
    return segments(points.amount_title(steps), steps, AT, "amount", start=start, wrap=True)


def all_points(shown: Shown) -> Item:
    """Show a table of every point of the curve, with paired differences to the dense model."""
    explained = terms(
        ("KL divergence", "top-1 agreement", "packed size", "bits per weight", "GMACs", "paired difference")
    )
    help = f"Tick a row to open its details, or two to compare them.\n\n{explained}"
    st.header("All points", anchor=False, help=help)
    table, _, caption, means, *_ = points_data(shown)
    accuracy = Pivot("Mean above chance (points)", means, "amount_label", False, form=".1f")
    return widgets.show_table(
        TABLE,
        table,
        caption,
        FORMATS,
        file=shown.chosen.file("points"),
        pivots=[perplexities_of(shown), *fidelities_of(shown), *([accuracy] if len(means) else [])],
        widths=WIDTHS | widgets.fitting_widths(table, VERDICTS),
        on_select=lambda rows: details.open_points(TABLE, [table.index[row] for row in rows]),
    )


@st.fragment
def charts(
    chosen: Chosen,
    dense: pd.DataFrame,
    found: pd.DataFrame,
    elsewhere: pd.DataFrame,
    picked: Picked,
    items: list[Item],
) -> None:
    """Show the finding and both charts at the chosen amount, and store their exports in `items`.

    Only these depend on the amount, hence the fragment. `elsewhere` are the points on other texts.
    """
    if st.session_state.get(MODE, CURVE) != CURVE:
        st.rerun()  # the field below the headline has another view
    with st.container(gap="xsmall"):
        head, fields = st.container(gap="xsmall"), st.container(horizontal=True)
    grid = st.grid(2, min_column_width=SIDE, gap="medium")
    with fields:
        pick_view(CURVE)
        unit = UNITS[0]
        if len(dense) and elsewhere.empty:
            unit = segments("Unit", UNITS, "explore_unit", "unit", labelled=False)
    curve_cell, scores_cell = grid.cell(), grid.cell()
    with curve_cell:
        place = st.container()
    drawn = drawn_points(found, picked.names, picked.others, chosen.axis)
    beside = drawn_points(elsewhere, picked.names, picked.others, chosen.axis)
    steps = points.amounts(pd.concat([drawn, beside])) or points.amounts(found) or [points.UNKNOWN_AMOUNT]
    with curve_cell:
        at = pick_amount(steps, points.first_amount(steps))
    best = best_at(chosen, dense, drawn, at)
    shown = shown_series(chosen, dense, found, with_winners(found, picked.names, best), picked.others)
    smaller, multiples = None, len(dense) > 0 and unit == UNITS[0]
    with head:
        if best:
            smaller = show_headline(shown, drawn, best, at)
        else:
            st.title(chosen.model, anchor=False)
    with place:
        curves = show_curve(shown, at, best.keys if best else [], elsewhere, picked.names, multiples)
    with curve_cell:
        if best:
            show_answer(shown, drawn, best, at, smaller)
        show_elsewhere(points.rows_at(points.among(beside, "series_label", picked.names), at))
        every = points.with_dense(dense, found)
        addresses = details.pick_point(pd.concat([every, elsewhere]))
    with scores_cell:
        names = series_of(shown.highlighted)
        accuracy = show_accuracy(chosen, found, shown.scored, at, names, shown.show_context)
    items[:] = [*curves, *accuracy]
    key = st.session_state[details.POINT]
    own = key in set(elsewhere["key"])
    details.show_details(with_own_dense(elsewhere, dense, key) if own else every, addresses)


def page() -> None:
    """Show the page."""
    arrive("explore_")
    rename_values()
    measured = data.models()
    if not measured:
        st.title("Explore", anchor=False)
        widgets.show_no_results()
        return
    show_tour(details.open_points)
    models = [*measured, *(model for model in data.printed_models() if model not in measured)]
    above = st.container()
    mode = chosen_view()
    title, fields = show_title(mode, mode) if mode != CURVE else (st.empty(), st.empty())
    chosen = None
    if mode != FEW_SHOT:
        axis = None if mode == CURVE else pick_against() if mode == MODELS else axes.RATIO
        chosen = pick(models, by_method=mode != TRADE_OFF, axis=axis, scored=mode != MODELS)
    model = chosen.model if chosen else pick_model(models)
    with above:
        widgets.show_download_hint(model)
        skipped = st.container()
    items: list[Item] = []
    if chosen is None:
        items = show_shots(model)
    elif mode == CURVE:
        show_curves(chosen)
    else:
        by_size = mode == TRADE_OFF
        items = show_tradeoff(chosen, data.frame(model), title, fields) if by_size else show_models(chosen, models)
    if items:
        widgets.export_page(f"slimscope-{FILES[mode]}", lambda: items)
    with skipped:  # last, because the charts read samples and add warnings
        widgets.show_skipped(data.unread(model))
    refresh_when_done()


def show_curves(chosen: Chosen) -> None:
    """Show the curve view of the chosen methods."""
    measured = chosen.measured
    dense, found = points.split_points(measured)
    if found.empty:
        show_title(chosen.model)
    if not chosen.methods and found.empty and points.is_dense(chosen.scores).all():
        st.info("Choose at least one method in the sidebar, or compare by packed size, where each has a place.")
        return
    if found.empty:
        scores = chosen.scores[~points.is_dense(chosen.scores)]
        if len(scores):  # of methods without a perplexity, such as imported ones
            steps, names = points.amounts(scores) or [points.UNKNOWN_AMOUNT], list(scores["series_label"].unique())
            at = pick_amount(steps, steps[-1])
            if scored := show_accuracy(chosen, found, score(chosen, names, data), at, names, False):
                widgets.export_page("slimscope-explore", lambda: scored)
        st.info("These methods have no perplexity yet. Run one, or choose another model or text in the sidebar.")
        if len(measured):
            offer_points(chosen, dense, found, [])
        return
    elsewhere = pick_elsewhere(chosen, data.frame(chosen.model))
    picked = pick_series(found, elsewhere, widgets.page_theme())
    if not picked.names:
        show_title(chosen.model)
        st.info("Choose at least one series.")
        return
    items: list[Item] = []  # filled by the fragment, for the export of the page
    with st.skeleton(SIDE):  # the first run reads the answers of every document
        shown = shown_series(chosen, dense, found, picked.names, picked.others)
    charts(chosen, dense, found, elsewhere, picked, items)
    links.show("inside", "Read answers of dense and compressed variants", "forum", links.answers(chosen.model))
    offer_points(chosen, dense, found, picked.names)
    table = all_points(shown)
    widgets.export_page("slimscope-explore", lambda: [*items, table])


def chosen_view() -> str:
    """Return the view of the field or, before it is shown, of the address."""
    given = st.session_state.get(MODE) or st.query_params.get(MODE)
    return given if given in MODES else CURVE


def show_title(text: str, view: str = CURVE) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Show a title above the field of the views, and return the place of each."""
    title, fields = st.empty(), st.container(horizontal=True, vertical_alignment="bottom")
    title.title(text, anchor=False)
    with fields:
        pick_view(view)
    return title, fields


def pick_view(view: str) -> None:
    """Show the field of the views, below the title of the present one; run the page again for another one."""
    if segments("View", MODES, MODE, "view", labelled=False) != view:
        st.rerun()


def refresh_when_done() -> None:
    """Check every two seconds for new results while jobs are active, and show them."""
    if not data.active_jobs():
        return
    stamp, jobs = data.stamp(), {job.id for job in data.active_jobs()}

    @st.fragment(run_every=2)
    def watch() -> None:
        ended = not jobs <= {job.id for job in data.active_jobs()}
        if ended:
            data.show_now()
        if ended or data.stamp() != stamp:
            st.rerun()

    watch()


page()
