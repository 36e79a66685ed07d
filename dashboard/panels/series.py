"""Which of the series that are there stand in colour, with their names: on every chart, in the table and in exports."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.charts import choices
from dashboard.panels.binding import BOUND

SERIES = "explore_series"  # the field and its place in the address
THERE = "explore_series_there"  # what could be chosen at the last run


def pick_series(found: pd.DataFrame) -> tuple[list[str], bool]:
    """Let series be chosen; return them and whether the others are shown in grey on charts.

    At first they are so many as can be told apart.
    """
    there, at_first = list(dict.fromkeys(found["series"])), choices.default_series(found)
    if len(there) < 2:
        return there, False
    _follow(there, at_first)
    chosen = st.pills(
        "Shown",
        there,
        selection_mode="multi",
        default=None if SERIES in st.session_state else at_first,
        key=SERIES,
        help="These have names and colours, and stand in the table and in exports.",
        **BOUND,
    )
    others = len(chosen) < len(there) and st.toggle(
        "The others in grey", value=True, key="explore_others", help="Behind the charts, without names.", **BOUND
    )
    return [name for name in there if name in chosen], others


def _follow(there: list[str], at_first: list[str]) -> None:
    """Where other series are there than before, keep what was chosen of them, and add the new ones that fit."""
    before = st.session_state.get(THERE, there)
    st.session_state[THERE] = there
    if before != there:
        kept = [name for name in st.session_state.get(SERIES, ()) if name in there]
        both = [*kept, *(name for name in at_first if name not in kept and name not in before)]
        st.session_state[SERIES] = both if both and len(both) <= choices.MAX_HIGHLIGHTED else at_first
