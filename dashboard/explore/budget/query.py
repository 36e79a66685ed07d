"""The fields of the quality and cost by which variants are ranked."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.analysis.budget import Budget
from core.findings.best.qualities import QUALITIES, quality_of
from core.findings.within import BudgetQuery
from dashboard.charts import tradeoff
from dashboard.shared.binding import BOUND, check_link
from dashboard.shared.pickers import COST

COSTS = dict(
    zip(
        (
            *("packed size", "bits per weight", "parameters"),
            *("prefill latency", "decode latency", "peak memory"),
        ),
        tradeoff.COSTS,
        strict=True,
    )
)


def pick_query(budget: Budget, every: pd.DataFrame, corpus: str) -> BudgetQuery:
    """Show the fields of the quality and the cost; `every` has the `candidates`, whose perplexities are of `corpus`."""
    usual, *_ = offered = [one.label for one in QUALITIES.values() if one.always or every[one.column].notna().any()]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        check_link("explore_quality", "quality", offered)
        quality = st.segmented_control(
            "Rank by", offered, default=usual, required=True, wrap=True, key="explore_quality", **BOUND
        )
        check_link(COST, "cost", COSTS)
        cost = st.selectbox("Against", list(COSTS), key=COST, width=210, **BOUND)
    column = next(one.column for one in QUALITIES.values() if one.label == quality)
    return BudgetQuery(quality_of(column, corpus), budget, COSTS[cost])
