"""The field of the highlighted series of charts, tables and exports."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.charts.frames import choices
from dashboard.shared.binding import BOUND

SERIES = "explore_series"  # key of the field and parameter of the address
THERE = "explore_series_there"  # session key of the last run's options


def pick_series(found: pd.DataFrame) -> tuple[list[str], bool]:
    """Show the field of the series; return the highlighted ones and whether charts show the others in grey.

    `choices.default_series` are preselected.
    """
    options, default = list(dict.fromkeys(found["series_label"])), choices.default_series(found)
    if len(options) < 2:
        return options, False
    _follow(options, default)
    chosen = st.pills(
        "Series",
        options,
        selection_mode="multi",
        default=None if SERIES in st.session_state else default,
        key=SERIES,
        help="Chosen series are named, coloured, tabulated and exported.",
        **BOUND,
    )
    others = len(chosen) < len(options) and st.toggle(
        "Show the others in grey", value=True, key="explore_others", help="Context without names.", **BOUND
    )
    return [name for name in options if name in chosen], others


def _follow(options: list[str], default: list[str]) -> None:
    """Update the choice when the options change: keep the chosen ones, and add new default ones that fit."""
    before = st.session_state.get(THERE, options)
    st.session_state[THERE] = options
    if before != options:
        kept = [name for name in st.session_state.get(SERIES, ()) if name in options]
        both = [*kept, *(name for name in default if name not in kept and name not in before)]
        st.session_state[SERIES] = both if both and len(both) <= choices.MAX_HIGHLIGHTED else default
