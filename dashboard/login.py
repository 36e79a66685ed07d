"""Login by OpenID Connect and the list of users, for a server that several people reach.

Without `[auth]` in Streamlit's secrets and without `SLIMSCOPE_USERS` there is no login. With only one of them nobody
gets in.
"""

import os
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

import streamlit as st
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.errors import StreamlitSecretNotFoundError

from dashboard.shared.literal import literal

VARIABLE = "SLIMSCOPE_USERS"
UNVERIFIED = "SLIMSCOPE_UNVERIFIED"  # `allow`: the provider need not state that it has verified an address
METRICS = "/_stcore/metrics"
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
    reason = refusal(str(st.user.get("email") or ""), st.user.get("email_verified"), _listed(Path(str(file))))
    if reason:
        st.button("Sign out", on_click=st.logout)
        _refuse(reason)


def refusal(email: str, verified: object, listed: Set[str]) -> str | None:
    """Return why a visitor may not enter; None if the address is verified and on the list.

    Args:
        email: The address from the provider; empty without one.
        verified: The provider's claim `email_verified`; None without one.
        listed: The addresses that may enter, in lower case.
    """
    # Outside ASCII, other letters look like these or become one of them in lower case, as the Kelvin sign does.
    if not email.isascii() or email.lower() not in listed:
        return f"{email or 'Your account'} is not on the list of users of this server; ask whoever runs it."
    if verified is True or (verified is None and os.environ.get(UNVERIFIED) == "allow"):
        return None
    return f"The login provider does not state that it has verified {email}; ask whoever runs this server."


class WithoutMetrics:
    """Middleware that hides Streamlit's own metrics, which name functions and count sessions without a login."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hidden = scope["type"] == "http" and scope["path"].endswith(METRICS)
        await (PlainTextResponse("Not Found", 404) if hidden else self.app)(scope, receive, send)


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
    """Return the addresses in a file, one a line, in lower case; none if it cannot be read."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return set()
    return {line.strip().lower() for line in lines if line.strip() and not line.startswith("#")}


def _refuse(words: str) -> None:
    st.error(literal(words))
    st.stop()
