"""Filters of the variants by family, method, training and calibration data."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.findings.best.candidates import NO_TEXT
from core.notation.formatting import label
from dashboard.shared.binding import BOUND, check_link


def pick_filters(every: pd.DataFrame) -> dict[str, list[str]]:
    """Show the filters; return the accepted values of each column, where an empty list accepts all."""
    chosen = {}
    with st.popover("Filter variants", icon=":material/filter_alt:"):
        for name, column, shown in (
            ("Family", "family", str.capitalize),
            ("Method", "method", label),
            ("Training", "training", str.capitalize),
            ("Calibrated on", "calibration", str),
        ):
            values = every[column].fillna(NO_TEXT)
            key = f"explore_only_{name.split()[0].lower()}"
            there = list(dict.fromkeys(values))
            check_link(key, "filter", [shown(one) for one in there], shown)
            chosen[column] = st.multiselect(name, there, format_func=shown, key=key, placeholder="all", **BOUND)
    return chosen
