"""The quality and cost by which variants are ranked, and the ranking."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.analysis.budget import Budget, ranked
from core.findings.axes import Axis
from core.findings.best import ranking
from core.findings.best.qualities import QUALITIES, Quality, quality_of
from core.findings.sharing import shared
from dashboard.charts import tradeoff
from dashboard.explore.budget.pairs import intervals_of
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

_ranked, _with_intervals = shared(ranked), shared(ranking.with_intervals)


class BudgetQuery(NamedTuple):
    """The shown quality and cost, and the budget."""

    quality: Quality
    cost: Axis
    budget: Budget


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
    return BudgetQuery(quality_of(column, corpus), COSTS[cost], budget)


def rank(accepted: pd.DataFrame, dense: pd.DataFrame, numbers: pd.DataFrame, query: BudgetQuery) -> pd.DataFrame:
    """Return the variants as of `core.analysis.budget.ranked`, with their intervals.

    Args:
        accepted: Rows of `candidates`.
        dense: The dense model's row, if known.
        numbers: Tidy rows of the quality.
        query: The quality, cost and budget.
    """
    found = _ranked(accepted, query.budget, query.cost.column, query.quality.column)
    return _with_intervals(found, intervals_of(found, dense, numbers, query.quality), query.quality)
