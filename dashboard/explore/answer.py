"""The answer at the top of Explore: the best of all drawn variants at the chosen amount, and a better one by size."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.findings.at_amount import answer_at, smaller_at
from core.findings.best import answer as words
from core.findings.best.answer import Best, Winner
from core.findings.numbers.differences import NUMBER
from core.findings.pairs import paired
from core.findings.rows import points
from core.findings.rows.other_texts import times_dense
from dashboard import data
from dashboard.explore.curve_data import Shown
from dashboard.shared import links
from dashboard.shared.literal import literal
from dashboard.shared.pickers import AXIS, BY_SIZE, FAMILIES, SHOWN, TEXT


def show_answer(shown: Shown, drawn: pd.DataFrame, best: Best, at: str) -> None:
    """Show the best of the drawn points at an amount, and a smaller and better variant of another family."""
    chosen, rows = shown.chosen, data.frame(shown.chosen.model)
    given = best, at, shown.perplexities, shown.scored
    st.markdown(answer_at(chosen, shown.dense, drawn, *given, data, literal))
    found = smaller_at(chosen, shown.dense, rows, best, data, literal)
    if found is None:
        return
    address = links.shown(found.rows, st.session_state[TEXT])
    del address[SHOWN]  # all methods of these families
    families = points.among(chosen.measured, "method", chosen.methods)["family"]
    there = [one.capitalize() for one in dict.fromkeys((*families, *found.families))]
    address |= {FAMILIES: there, AXIS: BY_SIZE, "explore_at": at}
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(found.sentence, width="content")
        if not (chosen.axis.of_bits and set(found.families) <= set(chosen.measured["family"])):
            label, icon = "Compare by packed size", ":material/compare:"
            st.page_link("explore/view.py", label=label, icon=icon, query_params=address, width="content")


def show_elsewhere(here: pd.DataFrame) -> None:
    """Show the points at an amount that were measured on other texts, each as a multiple of dense on its text."""
    if here.empty:
        return
    winners = []
    for _, one in times_dense(here, here["dense_value"]).iterrows():
        found = data.paired([(one["key"],)], one["dense_key"], [tuple(one[list(NUMBER)])])
        winners.append(Winner(one, paired.of_points(found, one.to_frame().T).iloc[0]))
    st.markdown(words.elsewhere(winners, literal))
