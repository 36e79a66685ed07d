"""The trade-off of a model's variants: controls, answer, list, chart and details."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.findings.best.candidates import accepted
from core.findings.rows.documents import on_documents
from core.findings.rows.zeroshot import scored_on
from core.findings.within import gather, within
from dashboard import data
from dashboard.explore.budget.chart import show_points
from dashboard.explore.budget.fields import pick_budget, pick_filters, pick_query
from dashboard.explore.budget.table import show_list
from dashboard.explore.details import pick_point, show_details
from dashboard.explore.missing import offer_estimates, offer_numbers
from dashboard.exports.files import Item
from dashboard.shared import links
from dashboard.shared.literal import literal
from dashboard.shared.pickers import TEXT, Chosen

SIDE = 500  # minimum width in px of the list and the chart in a row


def show_tradeoff(chosen: Chosen, rows: pd.DataFrame) -> list[Item]:
    """Show which variants of a model are within a budget, and the details of one.

    `chosen` comes from `pickers.pick`, and `rows` are all tidy rows of the model. The view shows every variant that the
    filters accept, with any method, calibration and training data.
    """
    first = [text for text in (chosen.calibration, chosen.training) if text]
    gathered = gather(rows, chosen.corpus, chosen.protocol, on_documents(scored_on(rows), chosen.documents), first)
    every = gathered.every
    if gathered.measured.empty:
        st.info("This model has no perplexity yet. Run it, or choose another model or text in the sidebar.")
        return []
    with st.container(horizontal=True, vertical_alignment="bottom"):
        budget = pick_budget()
        filters = pick_filters(every)
    above = st.container()
    query = pick_query(budget, every, str(chosen.corpus))
    if accepted(every, filters).empty:
        above.info("No variant passes the filters. Remove a filter.")
        return []
    answer = within(gathered, query, filters, data)
    with above:
        for sentence in answer.sentences(chosen.model, literal):
            st.markdown(sentence)
        offer_estimates(chosen, answer.estimates)
    with st.grid(2, min_column_width=SIDE, gap="medium") as grid:
        with grid.cell():
            table = show_list(chosen, answer)
            offer_numbers(chosen, answer.rows, query.quality)
        with grid.cell():
            chart = show_points(chosen, gathered.dense, answer, gathered.measured["protocol"].iloc[0])
    addresses = pick_point(every)
    link_to_law(chosen, query.quality.column)
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
