"""List of the variants within a budget, or of those nearest to it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.findings.best import ranking
from core.findings.best.budget import answers, limits
from core.findings.estimates import words as estimate_words
from core.findings.numbers.reporting import seeds_words
from core.findings.pairs.paired import INTERVAL
from core.findings.sharing import shared
from core.findings.within import COMPARED, PAIRED, BudgetQuery, Within
from dashboard import data
from dashboard.explore.details import open_points
from dashboard.exports.files import Item
from dashboard.shared import widgets
from dashboard.shared.glossary import terms
from dashboard.shared.pickers import Chosen

TABLE = "explore_ranked"  # key


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
