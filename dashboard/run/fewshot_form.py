"""The form fields of few-shot prompts."""

from __future__ import annotations

import streamlit as st

from core.analysis.fewshot import WORDS
from core.specs import MAX_FEWSHOT, Fewshot
from dashboard.shared.binding import HELD, Between, check_link


def shots_input() -> Fewshot:
    """Show the fields of the number, selector, order and template of few-shot examples."""
    how = {}
    with st.container(horizontal=True):
        check_link("run_shots", "number of examples", Between(0, MAX_FEWSHOT))
        k = st.number_input(
            "Few-shot examples",
            0,
            MAX_FEWSHOT,
            0,
            key="run_shots",
            help="Solved examples before each question, never from the scored documents; 0 is zero-shot.",
            **HELD,
        )
        if k:
            how["selector"] = _choice(
                "Selector",
                WORDS["selector"],
                "run_selector",
                "The dense model selects the examples once for all its variants; similarity is of its hidden states.",
            )
            how["order"] = _choice("Order", WORDS["order"], "run_order", "The last example precedes the question.")
        how["template"] = _choice(
            "Template",
            WORDS["template"],
            "run_template",
            "Plain is the format of lm-evaluation-harness; all variants get the same instruction and reasoning.",
        )
    return Fewshot.model_validate({"k": k, **how})


def _choice(label: str, names: dict[str, str], key: str, help: str) -> str:
    check_link(key, label.lower(), names.values(), names.__getitem__)
    return st.selectbox(label, list(names), format_func=names.__getitem__, key=key, help=help, **HELD)
