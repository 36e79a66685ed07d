"""The link to Inside that asks the dense model and a pruned one the same question."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.shared import links

CHAIN, PROMPT = "magnitude@0.5", "A fact"


def link_to_answers(model: str) -> None:
    """Show the link if the model has results of magnitude pruning at 50 %."""
    if (data.frame(model)["chain"] == CHAIN).any():
        st.page_link(
            "inside/view.py",
            label="Ask dense and magnitude 50 % the same question",
            icon=":material/forum:",
            query_params=links.answers(model, CHAIN, PROMPT),
        )
