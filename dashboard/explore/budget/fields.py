"""Fields of Trade-off: the limits of the budget, filters of the variants, and the quality and cost that rank them."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.findings.best.budget import ACCURACY, LIMITS, Budget
from core.findings.best.candidates import NO_TEXT
from core.findings.best.qualities import QUALITIES, quality_of
from core.findings.within import BudgetQuery
from core.metrics import MEANS, SPEEDS
from core.notation.formatting import label
from dashboard.charts import tradeoff
from dashboard.shared.binding import BOUND, check_link, number, segments, select
from dashboard.shared.pickers import COST

LEAST, MOST = 0.001, 1e9  # range of a limit
NAMES = ("packed size", "bits per weight", "parameters", *(one.noun for one in SPEEDS.values()))
COSTS = dict(zip(NAMES, tradeoff.COSTS, strict=True))


class Field(NamedTuple):
    """An input field of a limit."""

    label: str
    help: str
    step: float
    most: float = MOST


FIRST = {
    "packed_mb": Field(
        "I have (MB)",
        "Packed size, at most: each matrix in its smallest lossless layout, at 16 bits per weight or the bits of its"
        " grid.",
        10.0,
    ),
    "times_dense": Field("Perplexity, at most (times dense)", "1 is the perplexity of the dense model.", 0.1),
    "decode_ms": Field("Decode latency, at most (ms)", "Time per generated token at batch size 1.", 1.0),
    ACCURACY: Field(
        "Above chance, at least (points)",
        "Mean accuracy minus that of guessing, over the tasks on which the dense model shows knowledge.",
        1.0,
        100.0,
    ),
}
MORE = {
    **{
        name: Field(
            f"{one.label}, at {'most' if one.lower else 'least'} ({one.unit})",
            one.help,
            1.0 if one.percent else 0.01,
            min(MOST, one.times * one.ends[1]),
        )
        for name, one in reversed(MEANS.items())
    },
    "bits_per_weight": Field("Bits per weight, at most", "Counts the block linears with scales and zero points.", 0.5),
    "parameters": Field("Parameters, at most (millions)", "Counts the whole model.", 10.0),
    "prefill_ms": Field("Prefill latency, at most (ms)", "Time per prompt token at batch size 1.", 0.1),
    "memory_mb": Field("Peak memory, at most (MB)", "At batch size 1.", 10.0),
}


def pick_budget() -> Budget:
    """Show the fields of the limits, the usual ones first; an empty field sets no limit."""
    given = {column: _limit(column, field) for column, field in FIRST.items()}
    with st.popover("Set more limits", icon=":material/tune:"):
        given |= {column: _limit(column, field) for column, field in MORE.items()}
    return Budget(**{name: limit / LIMITS[name].times for name, limit in given.items() if limit is not None})


def _limit(column: str, field: Field) -> float | None:
    limit: float | None = number(
        field.label,
        (LEAST, field.most),
        None,
        f"explore_limit_{column}",
        "limit",
        BOUND,
        step=field.step,
        format="%g",
        help=field.help,
        placeholder="no limit",
        width=170,
    )
    return limit


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


def pick_query(budget: Budget, every: pd.DataFrame, corpus: str) -> BudgetQuery:
    """Show the fields of the quality and the cost; `every` has the `candidates`, whose perplexities are of `corpus`."""
    offered = [one.label for one in QUALITIES.values() if one.always or every[one.column].notna().any()]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        quality = segments("Rank by", offered, "explore_quality", "quality", wrap=True)
        cost = select("Against", list(COSTS), COST, "cost", width=210)
    column = next(one.column for one in QUALITIES.values() if one.label == quality)
    return BudgetQuery(quality_of(column, corpus), budget, COSTS[cost])
