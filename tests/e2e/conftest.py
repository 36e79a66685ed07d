"""A real browser and the real server, with a store of its own."""

import pytest
from playwright.sync_api import expect

from core.store.store import Store
from tests.dashboard.synthetic import curve
from tests.e2e.browser import chromium, dashboard, require_chromium

LONGEST_WAIT = 30_000  # ms; a busy machine needs more than the five seconds of Playwright's own assertions


@pytest.fixture(scope="session")
def browser():
    require_chromium()
    expect.set_options(timeout=LONGEST_WAIT)
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """The folder of the server's own results, with made-up ones of a model called `toy`."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="session")
def address(results):
    """The address of a running dashboard."""
    store = Store(f"sqlite:///{results / 'local.db'}")
    for one in curve(model="toy"):
        store.put(one)
    with dashboard(results) as running:
        yield running.address


@pytest.fixture
def page(browser, address):
    """An empty tab; exceptions of the page fail the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.set_default_timeout(LONGEST_WAIT)
    errors = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    context.close()
    assert not errors
