"""Where a field keeps what was entered: arguments of Streamlit's widgets."""

from __future__ import annotations

from typing import Literal, TypedDict


class Bound(TypedDict):
    bind: Literal["query-params"]


class Kept(TypedDict):
    persist_state: Literal["session"]


class Held(Bound, Kept):
    pass


BOUND: Bound = {"bind": "query-params"}  # in the page's address
KEPT: Kept = {"persist_state": "session"}  # as long as the session lasts, also while another page is shown
HELD: Held = {**BOUND, **KEPT}  # both: a link restores it, and so does coming back to the page
