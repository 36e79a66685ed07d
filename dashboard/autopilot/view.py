"""Autopilot page: a budget of size and time in, the best chain out."""

from __future__ import annotations

import streamlit as st

from core.base.errors import UserError
from core.search.session import start
from core.search.studies import import_studies
from dashboard import data
from dashboard.autopilot.form import question_input
from dashboard.autopilot.progress import show_searches
from dashboard.shared.literal import literal


def page() -> None:
    """Show the page."""
    st.title("Autopilot", anchor=False)
    st.markdown("Give a size and a time. The search measures chains of methods and returns the best one that fits.")
    try:
        import_studies(data.store())
    except UserError as error:
        st.warning(literal(str(error)))
    with st.container(border=True):
        question = question_input()
        pressed = st.button(
            "Search", type="primary", icon=":material/search:", disabled=question is None, key="autopilot_start"
        )
        if pressed and question is not None:
            try:
                with st.spinner("Listing the chains that fit…"):
                    name = start(question, data.queue())
            except UserError as error:
                st.error(literal(str(error)))
            else:
                st.session_state["autopilot_shown"] = name
                st.toast("The search has started.", icon=":material/search:")
                st.rerun()
    show_searches()


page()
