"""The trade-off of a model's variants: controls, answer, list, chart and details."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.findings.best import ranking
from core.findings.best.budget import answers, limits
from core.findings.best.candidates import accepted
from core.findings.estimates import words as estimate_words
from core.findings.numbers.reporting import seeds_words
from core.findings.pairs.paired import INTERVAL
from core.findings.rows.documents import on_documents
from core.findings.rows.zeroshot import scored_on
from core.findings.sharing import shared
from core.findings.within import COMPARED, PAIRED, BudgetQuery, Within, gather, within
from dashboard import data
from dashboard.explore.budget.chart import show_points
from dashboard.explore.budget.fields import pick_budget, pick_filters, pick_query
from dashboard.explore.details import open_points, pick_point, show_details
from dashboard.explore.missing import offer_estimates, offer_numbers
from dashboard.exports.files import Item
from dashboard.shared import links, widgets
from dashboard.shared.glossary import terms
from dashboard.shared.literal import literal
from dashboard.shared.pickers import TEXT, Chosen

TABLE = "explore_ranked"  # key
SIDE = 500  # minimum width in px of the list and the chart in a row


@shared
def _rows(found: pd.DataFrame, query: BudgetQuery, tests: pd.DataFrame | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the table of variants within the budget, or nearest to it, and the keys of its rows."""
    rows = answers(found)
    keys = tuple(rows["key"])
    stored = data.results(keys)
    each = [stored.get(key) for key in keys]
    return ranking.ranking(rows, query.budget, query.cost.column, query.quality, each, tests), keys


def show_list(chosen: Chosen, answer: Within) -> Item:
    """Show the list, with the tests against the best, if any."""
    query, found, tests = answer.query, answer.rows, answer.tests
    listed, keys = _rows(found, query, tests)
    table = estimate_words.with_estimates(listed, answer.estimates)
    fit = found["fits"].any()
    within = "Variants within the budget" if limits(query.budget) else "All variants"
    explained = terms(("Pareto front", "estimated chain", "packed size", "paired difference", "not significant"))
    title = within if fit else "Nearest variants outside the budget"
    st.header(title, anchor=False, help=f"Tick a row to open its details, or two to compare them.\n\n{explained}")
    quality = query.quality
    caption = f"{chosen.model}, the best {quality.name} first."
    if fit:
        caption += f" {ranking.ON_FRONT}: no other listed variant is as good at the same or lower"
        caption += f" {query.cost.title.partition(' (')[0].lower()}. Variants that only restore the grid of the model's"
        caption += " own file, and those without the quality, come last."
    else:
        caption = f"{chosen.model}, the nearest first: ordered by the largest excess as a share of its limit."
    caption += f" {INTERVAL}: {quality.interval}."
    if quality.paired and len(listed) > PAIRED:
        caption += f" Intervals: of the first {PAIRED} and the front."
    if tests is not None:
        caption += f" Compared with the first: {quality.name}, by paired tests at 5 % with Holm's correction over the"
        caption += f" first {COMPARED}. {seeds_words(tests)}".rstrip()
    if len(answer.estimates):
        caption += f" {estimate_words.listed_words(answer.error)}"
    caption += " fp16 and fp32: checkpoint size on disk, where zeros take as much space as other weights."
    return widgets.show_table(
        *(TABLE, table, caption, ranking.FORMATS),
        file=chosen.file("budget"),
        widths=ranking.WIDTHS | widgets.fitting_widths(table, [ranking.TO_FIRST]),
        on_select=lambda rows: open_points(TABLE, [keys[row] for row in rows if row < len(keys)]),  # no estimates
    )


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
    address = links.laws(chosen.model, quality, st.session_state.get(TEXT), chosen.documents)
    links.show("laws", "How much may be removed? See the compression law", "function", address)
