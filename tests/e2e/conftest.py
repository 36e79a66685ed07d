"""A real browser and the real server, with a store of its own. All tests share them and the browser's cache."""

import pytest
from filelock import FileLock
from playwright.sync_api import expect

from core.store.store import Store
from tests.e2e.actions import COUNT_RUNS
from tests.e2e.browser import chromium, dashboard, require_chromium
from tests.synthetic import curve

LONGEST_WAIT = 60_000  # ms; a busy machine needs more than the five seconds of Playwright's own assertions


@pytest.fixture(scope="session")
def browser():
    require_chromium()
    expect.set_options(timeout=LONGEST_WAIT)
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def context(browser):
    """The tabs of one visitor: the program is loaded and compiled once."""
    shared = browser.new_context(viewport={"width": 1280, "height": 900})
    shared.set_default_timeout(LONGEST_WAIT)
    shared.add_init_script(COUNT_RUNS)
    yield shared
    shared.close()


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
def computing(results):
    """Another process seems to compute on the server's machine, so that no job does more than wait."""
    with FileLock(results / "compute.lock"):
        yield


@pytest.fixture
def page(context):
    """An empty tab; exceptions of the page fail the test."""
    tab = context.new_page()
    errors = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    tab.close()
    assert not errors
