"""Fields of the limits of a budget."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from core.analysis.budget import ACCURACY, LIMITS, Budget
from core.results import AGREEMENT, KL
from dashboard.shared.binding import BOUND, Between, check_link

LEAST, MOST = 0.001, 1e9  # range of a limit


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
    AGREEMENT: Field(
        "Top-1 agreement, at least (%)",
        "Tokens of the text to which this variant and the dense model give the highest probability.",
        1.0,
        100.0,
    ),
    KL: Field("KL divergence, at most (nats)", "Mean distance from the dense model's next-token distribution.", 0.01),
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
    check_link(f"explore_limit_{column}", "limit", Between(LEAST, field.most))
    return st.number_input(
        field.label,
        LEAST,
        field.most,
        None,
        field.step,
        "%g",
        key=f"explore_limit_{column}",
        help=field.help,
        placeholder="no limit",
        width=170,
        **BOUND,
    )
