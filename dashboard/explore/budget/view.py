"""The trade-off of a model's variants: controls, answer, list, chart and details."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.analysis.budget import ACCURACY, winner
from core.findings.best import ranking
from core.findings.best.candidates import candidates, of_documents, without_perplexity
from core.findings.estimates import words as estimate_words
from core.findings.rows import choices, points
from core.findings.sharing import shared
from core.results import AGREEMENT, KL
from dashboard.explore.budget.chart import show_points
from dashboard.explore.budget.estimated import estimate
from dashboard.explore.budget.filters import accepted, pick_filters
from dashboard.explore.budget.limits import pick_budget
from dashboard.explore.budget.pairs import differences_to_best
from dashboard.explore.budget.query import pick_query, rank
from dashboard.explore.budget.table import show_list
from dashboard.explore.details import pick_point, show_details
from dashboard.explore.missing import offer_estimates, offer_numbers
from dashboard.exports.files import Item
from dashboard.shared import links
from dashboard.shared.literal import literal
from dashboard.shared.pickers import TEXT, Chosen, Documents

SIDE = 500  # minimum width in px of the list and the chart in a row

_candidates, _without_perplexity = shared(candidates), shared(without_perplexity)


def show_tradeoff(chosen: Chosen, rows: pd.DataFrame) -> list[Item]:
    """Show which variants of a model are within a budget, and the details of one.

    `chosen` comes from `pickers.pick`, and `rows` are all tidy rows of the model. The view shows every variant that the
    filters accept, with any method, calibration and training data.
    """
    measured = choices.on_text(rows, chosen.corpus, chosen.protocol)
    if measured.empty:
        st.info("This model has no perplexity yet. Run it, or choose another model or text in the sidebar.")
        return []
    scored = _scored(rows, chosen.documents)
    first = [text for text in (chosen.calibration, chosen.training) if text]
    compared = choices.on_text(rows, chosen.corpus, chosen.protocol, (KL, AGREEMENT))
    every = _candidates(measured, scored, first, _without_perplexity(rows, measured), compared)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        budget = pick_budget()
        filters = pick_filters(every)
    above = st.container()
    query = pick_query(budget, every, str(chosen.corpus))
    passing, dense = accepted(every, filters), _dense(every)
    if passing.empty:
        above.info("No variant passes the filters. Remove a filter.")
        return []
    column = query.quality.column
    numbers = scored if column == ACCURACY else choices.on_text(rows, chosen.corpus, chosen.protocol, (column,))
    found = rank(passing, dense, numbers, query)
    estimated = estimate(measured, dense, found, filters, query)
    tests = differences_to_best(found, numbers)
    with above:
        st.markdown(ranking.answer(found, budget, query.quality, chosen.model, literal, tests))
        if text := estimate_words.sentence(estimated.rows, winner(found), literal):
            st.markdown(text)
        offer_estimates(chosen, estimated.rows)
    with st.grid(2, min_column_width=SIDE, gap="medium") as grid:
        with grid.cell():
            table = show_list(chosen, found, estimated, query, tests)
            offer_numbers(chosen, found, query.quality)
        with grid.cell():
            chart = show_points(chosen, found, dense, estimated, query, measured["protocol"].iloc[0])
    addresses = pick_point(every)
    link_to_law(chosen, column)
    show_details(every, addresses)
    return [chart, table]


def link_to_law(chosen: Chosen, quality: str) -> None:
    """Show the link to the laws of the model, of the chosen quality if it has laws."""
    st.page_link(
        "laws/view.py",
        label="How much may be removed? See the compression law",
        icon=":material/function:",
        query_params=links.laws(chosen.model, quality, st.session_state.get(TEXT), chosen.documents),
    )


@shared
def _scored(rows: pd.DataFrame, documents: Documents) -> pd.DataFrame:
    """Return the accuracies on these documents."""
    return of_documents(rows).get((documents.limit, documents.scoring), rows.iloc[:0])


@shared
def _dense(every: pd.DataFrame) -> pd.DataFrame:
    return every[points.is_dense(every)]
