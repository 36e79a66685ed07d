"""The process of the answers, which all sessions of the server share."""

from __future__ import annotations

import streamlit as st

from core.answers.client import Answerer


@st.cache_resource(show_spinner=False)
def answerer() -> Answerer:
    """Return the process, which starts with the first question and ends with the server."""
    return Answerer()
