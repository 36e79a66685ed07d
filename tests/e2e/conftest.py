"""A real browser and the real server, on a free port, with a store of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from core.paths import PROJECT
from core.store.store import Store
from tests.dashboard.synthetic import curve

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser():
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        message = "No Chromium on this machine: the dashboard was not tried in a browser."
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """The folder of the server's own results, with made-up ones of a model called `toy`."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="session")
def address(results):
    """The address of a running dashboard."""
    environment = os.environ | {"SLIMSCOPE_RESULTS": str(results), "PYTHONPATH": str(PROJECT)}
    environment.pop("SLIMSCOPE_DB", None)
    store = Store(f"sqlite:///{results / 'local.db'}")
    for one in curve(model="toy"):
        store.put(one)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/server.py", "--server.port", str(port)]
    with open(results / "server.log", "wb") as log:
        server = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(f"http://127.0.0.1:{port}/_stcore/health", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def _wait(url: str, server: subprocess.Popen) -> None:
    for _ in range(240):
        if server.poll() is not None:
            pytest.fail(f"The dashboard ended with code {server.returncode} before it was up.")
        try:
            if urllib.request.urlopen(url, timeout=1).read() == b"ok":
                return
        except OSError:
            time.sleep(0.25)
    pytest.fail("The dashboard was not up after a minute.")


@pytest.fixture
def page(browser, address):
    """An empty tab; exceptions of the page fail the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.set_default_timeout(30_000)
    errors = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    context.close()
    assert not errors
