"""Which of the series that are there stand in colour, with their names: on every chart, in the table and in exports."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.charts import points
from dashboard.panels.binding import BOUND

SERIES = "explore_series"  # the field and its place in the address


def pick_series(found: pd.DataFrame) -> tuple[list[str], bool]:
    """Let series be chosen; return them and whether the others are shown in grey on charts.

    At first they are so many as can be told apart.
    """
    there = list(dict.fromkeys(found["series"]))
    if len(there) < 2:
        return there, False
    chosen = st.pills(
        "Shown",
        there,
        selection_mode="multi",
        default=points.lit_at_first(found),
        key=SERIES,
        help="These have names and colours, and stand in the table and in exports.",
        **BOUND,
    )
    others = len(chosen) < len(there) and st.toggle(
        "The others in grey", value=True, key="explore_others", help="Behind the charts, without names.", **BOUND
    )
    return [name for name in there if name in chosen], others
