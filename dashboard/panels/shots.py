"""What stands before the questions of tasks."""

from __future__ import annotations

import streamlit as st

from core.specs import MOST_SHOTS, Fewshot
from dashboard.panels.binding import HELD

SELECTORS = {
    "random": "drawn at random",
    "first": "the first ones",
    "nearest": "most like the question",
    "likely": "of the lowest perplexity",
}
ORDERS = {"drawn": "as drawn", "similar-last": "most similar last"}
TEMPLATES = {
    "plain": "plain",
    "chat": "as turns of a chat",
    "instruction": "after an instruction",
    "generated": "after one that the dense model found",
    "reasoning": "with reasoning before the answer",
}


def shots_input() -> Fewshot:
    """Ask how many demonstrations stand before each question, which, in what order, and how they are written."""
    how = {}
    with st.container(horizontal=True):
        k = st.number_input(
            "Demonstrations",
            0,
            MOST_SHOTS,
            0,
            key="run_shots",
            help="Answered documents that stand before each question; 0 is zero-shot. They are never of those that are "
            "scored, and the dense model chooses them once for all its variants.",
            **HELD,
        )
        if k:
            how["selector"] = _choice(
                "Which", SELECTORS, "run_selector", "Most like: by the dense model's hidden states."
            )
            how["order"] = _choice("In which order", ORDERS, "run_order", "The last one stands next to the question.")
        how["template"] = _choice(
            "Written",
            TEMPLATES,
            "run_template",
            "Plain is as lm-evaluation-harness writes them. Instruction and reasoning are the same for all variants.",
        )
    return Fewshot.model_validate({"k": k, **how})


def _choice(label: str, names: dict[str, str], key: str, help: str) -> str:
    return st.selectbox(label, list(names), format_func=names.__getitem__, key=key, help=help, **HELD)
