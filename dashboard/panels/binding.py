"""Where a field keeps what was entered: arguments of Streamlit's widgets."""

from __future__ import annotations

from typing import Literal, TypedDict

import streamlit as st


class Bound(TypedDict):
    bind: Literal["query-params"]


class SessionState(TypedDict):
    persist_state: Literal["session"]


class LinkedSessionState(Bound, SessionState):
    pass


BOUND: Bound = {"bind": "query-params"}  # in the page's address
KEPT: SessionState = {"persist_state": "session"}  # as long as the session lasts, also while another page is shown
HELD: LinkedSessionState = {**BOUND, **KEPT}  # both: a link restores it, and so does coming back to the page

ALONE = "alone"  # in the address of a link: what it does not say is at its default, whatever was chosen before


def arrive(prefix: str) -> None:
    """Forget what was chosen on a page whose keys begin so, where the visitor comes by a link that says `ALONE`.

    Streamlit leaves a field as it was where an address asks for its default.
    """
    if ALONE in st.query_params:
        del st.query_params[ALONE]
        for key in [key for key in st.session_state if str(key).startswith(prefix)]:
            del st.session_state[key]
