"""The login of a team server, at a stub of an identity provider: who is not on the list reads nothing."""

import pytest
from streamlit.testing.v1 import AppTest

from core.base.paths import PROJECT
from tests.e2e.browser import free_port, require_chromium, served
from tests.e2e.identity import CLIENT, provider

pytestmark = pytest.mark.e2e
SECRETS = """
[auth]
redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
cookie_secret = "only for this test"
client_id = "{client}"
client_secret = "none"
server_metadata_url = "{provider}/.well-known/openid-configuration"
"""


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    """A server with a login, and the provider."""
    require_chromium()
    place, port = tmp_path_factory.mktemp("team"), free_port()
    with provider() as identities:
        (place / ".streamlit").mkdir()
        secrets = SECRETS.format(port=port, client=CLIENT, provider=identities.url)
        (place / ".streamlit" / "secrets.toml").write_text(secrets)
        (place / "users").write_text("# our team\nANN@example.org\n")
        environment = {"SLIMSCOPE_USERS": str(place / "users"), "SLIMSCOPE_RESULTS": str(place / "results")}
        environment |= {"PYTHONPATH": str(PROJECT)}
        with served(PROJECT / "dashboard" / "server.py", place, environment, place, port) as server:
            yield server, identities


def visit(browser, team, email, verified=True):
    """Sign in and return the page."""
    server, identities = team
    identities.email, identities.verified = email, verified
    page = browser.new_context().new_page()
    page.goto(f"{server.address}/run")
    page.get_by_role("button", name="Sign in").wait_for(timeout=60000)
    assert "GPTQ" not in page.locator("body").inner_text()
    page.get_by_role("button", name="Sign in").click()
    return page


def test_only_listed_users_see_a_page(browser, team):
    page = visit(browser, team, "ann@example.org")
    page.get_by_role("radio", name="Perplexity").wait_for(timeout=60000)
    for email, verified, words in (
        ("eve@example.org", True, "eve@example.org is not on the list of users of this server"),
        ("ann@example.org", False, "does not state that it has verified ann@example.org"),
    ):
        page = visit(browser, team, email, verified)
        page.get_by_text(words).wait_for(timeout=60000)
        text = page.locator("body").inner_text()
        assert "GPTQ" not in text and "Perplexity" not in text
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("button", name="Sign in").wait_for(timeout=60000)


@pytest.mark.parametrize(
    ("secrets", "users", "words"),
    [
        ({}, "users", "SLIMSCOPE_USERS is set, but Streamlit's secrets have no [auth], so nobody can sign in."),
        ({"auth": {}}, None, "This server has a login, but SLIMSCOPE_USERS is not set"),
    ],
)
def test_half_a_login_lets_nobody_in(secrets, users, words, monkeypatch, tmp_path):
    if users:
        monkeypatch.setenv("SLIMSCOPE_USERS", str(tmp_path / users))
    page = AppTest.from_file(PROJECT / "dashboard" / "app.py", default_timeout=60)
    for name, value in secrets.items():
        page.secrets[name] = value
    page.run()
    assert words in page.error[0].value.replace("\\", "")
    assert not page.metric and not page.markdown and not page.selectbox
