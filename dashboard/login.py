"""Login by OpenID Connect and the list of users, for a server that several people reach.

Without `[auth]` in Streamlit's secrets and without `SLIMSCOPE_USERS` there is no login. With only one of them nobody
gets in.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

from dashboard.shared.literal import literal

VARIABLE = "SLIMSCOPE_USERS"
_warming = False


def require() -> None:
    """End the run of the page here unless its visitor is signed in and on the list."""
    if _warming:
        return
    file, configured = os.environ.get(VARIABLE), _configured()
    if not (file or configured):
        return
    if not configured:
        _refuse(f"{VARIABLE} is set, but Streamlit's secrets have no [auth], so nobody can sign in.")
    if not file:
        _refuse(f"This server has a login, but {VARIABLE} is not set, so nobody is on its list of users.")
    if not st.user.is_logged_in:
        st.title("Slimscope", anchor=False)
        st.button("Sign in", on_click=st.login, type="primary")
        st.stop()
    email = str(st.user.get("email") or "")
    allowed = email.lower() in _listed(Path(str(file))) and st.user.get("email_verified", True) is True
    if not allowed:
        st.button("Sign out", on_click=st.logout)
        _refuse(f"{email or 'Your account'} is not on the list of users of this server; ask whoever runs it.")


@contextmanager
def suspended() -> Iterator[None]:
    """Draw pages without a login, before the server accepts visits."""
    global _warming
    _warming = True
    try:
        yield
    finally:
        _warming = False


def _configured() -> bool:
    try:
        return "auth" in st.secrets
    except StreamlitSecretNotFoundError:
        return False


def _listed(file: Path) -> set[str]:
    """Return the addresses in a file, one a line; none if it cannot be read."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return set()
    return {line.strip().lower() for line in lines if line.strip() and not line.startswith("#")}


def _refuse(words: str) -> None:
    st.error(literal(words))
    st.stop()
