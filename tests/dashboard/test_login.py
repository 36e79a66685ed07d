"""Who may enter a server with a login, and what it answers without one."""

import pytest
import streamlit as st
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from dashboard.login import UNVERIFIED, WithoutMetrics, refusal

LISTED = {"kate@example.org"}


@pytest.mark.parametrize(
    ("email", "verified", "setting", "words"),
    [
        ("Kate@Example.org", True, None, None),
        ("kate@example.org", None, None, "does not state that it has verified kate@example.org"),
        ("kate@example.org", None, "allow", None),
        ("kate@example.org", False, "allow", "does not state that it has verified"),
        ("kate@example.org", "true", None, "does not state that it has verified"),
        ("\u212aate@example.org", True, None, "is not on the list of users"),
        ("eve@example.org", True, "allow", "eve@example.org is not on the list of users"),
        ("", True, None, "Your account is not on the list of users"),
    ],
)
def test_only_verified_ascii_addresses_on_the_list_enter(email, verified, setting, words, monkeypatch):
    if setting:
        monkeypatch.setenv(UNVERIFIED, setting)
    found = refusal(email, verified, LISTED)
    assert found is None if words is None else words in found


def test_the_server_hides_the_metrics_of_streamlit(tmp_path):
    (tmp_path / "page.py").write_text("")
    app = st.App(tmp_path / "page.py", middleware=[Middleware(WithoutMetrics)])
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.get("/_stcore/metrics").status_code == client.get("/_stcore/metrics/").status_code == 404
        assert client.get("/_stcore/health").status_code == 200
