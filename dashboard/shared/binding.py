"""Arguments of Streamlit widgets that decide where a field stores its value."""

from __future__ import annotations

from typing import Literal, TypedDict

import streamlit as st


class Bound(TypedDict):
    """Widget arguments that store the value in the page's address."""

    bind: Literal["query-params"]


class SessionState(TypedDict):
    """Widget arguments that store the value in the session."""

    persist_state: Literal["session"]


class LinkedSessionState(Bound, SessionState):
    """Widget arguments that store the value in the address and in the session."""


BOUND: Bound = {"bind": "query-params"}
KEPT: SessionState = {"persist_state": "session"}  # also while another page is open
HELD: LinkedSessionState = {**BOUND, **KEPT}  # links and a return to the page both restore the value

ALONE = "alone"  # a link with this parameter resets every field that it does not set


def arrive(prefix: str) -> None:
    """Reset the fields whose keys start with `prefix` if the visitor follows a link with `ALONE`.

    Streamlit itself does not reset a field that an address leaves at its default.
    """
    if ALONE in st.query_params:
        del st.query_params[ALONE]
        for key in [key for key in st.session_state if str(key).startswith(prefix)]:
            del st.session_state[key]
