"""What stands before the questions of tasks."""

from __future__ import annotations

import streamlit as st

from core.analysis.fewshot import WORDS
from core.specs import MAX_FEWSHOT, Fewshot
from dashboard.panels.binding import HELD


def shots_input() -> Fewshot:
    """Ask how many demonstrations stand before each question, which, in what order, and how they are written."""
    how = {}
    with st.container(horizontal=True):
        k = st.number_input(
            "Demonstrations",
            0,
            MAX_FEWSHOT,
            0,
            key="run_shots",
            help="Answered documents that stand before each question; 0 is zero-shot. They are never of those that are "
            "scored, and the dense model chooses them once for all its variants.",
            **HELD,
        )
        if k:
            how["selector"] = _choice(
                "Which", WORDS["selector"], "run_selector", "Most like: by the dense model's hidden states."
            )
            how["order"] = _choice("In which order", WORDS["order"], "run_order", "The last is next to the question.")
        how["template"] = _choice(
            "Written",
            WORDS["template"],
            "run_template",
            "Plain is as lm-evaluation-harness writes them. Instruction and reasoning are the same for all variants.",
        )
    return Fewshot.model_validate({"k": k, **how})


def _choice(label: str, names: dict[str, str], key: str, help: str) -> str:
    return st.selectbox(label, list(names), format_func=names.__getitem__, key=key, help=help, **HELD)
