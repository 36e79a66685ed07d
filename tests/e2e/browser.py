"""A running dashboard, and a browser to look at it: for tests, pictures (`tools`) and timings (`benchmarks`)."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from core.base.paths import PROJECT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LONGEST_START, STEP = 60.0, 0.25  # seconds


class Dashboard(NamedTuple):
    """A dashboard that runs."""

    address: str
    process: int
    started: float  # of the process, in seconds since 1970

    def peak(self) -> float:
        """Return the most memory that the server has held, in MB; NaN where the system does not say."""
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.process}/status").read_text())
        return int(found[1]) / 1024 if found else float("nan")


def chromium_path() -> str | None:
    """Return where this machine's Chromium is, if it has one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def require_chromium() -> None:
    """Leave the running test out on a machine without Chromium; in continuous integration it fails."""
    import pytest

    if chromium_path() is None:
        message = "No Chromium on this machine: the dashboard was not tried in a browser."
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


def free_port() -> int:
    """Return a port that no process uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give a browser without a window."""
    from playwright.sync_api import sync_playwright

    path = chromium_path()
    if path is None:
        raise SystemExit("No Chromium on this machine; install it, such as by `apt-get install chromium`.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def dashboard(results: Path, project: Path = PROJECT) -> Iterator[Dashboard]:
    """Run a checkout's dashboard on a free port, beside the shipped results with those of a folder, where its log is
    kept too."""
    environment = {"SLIMSCOPE_RESULTS": str(results), "PYTHONPATH": str(project)}
    with served(project / "dashboard" / "server.py", project, environment, results) as server:
        yield server


@contextmanager
def served(
    script: Path, place: Path, environment: dict[str, str], logs: Path, port: int | None = None
) -> Iterator[Dashboard]:
    """Run a Streamlit script in a working directory, on a free port by default; its log is in the folder `logs`."""
    port = port or free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    known = {name: value for name, value in os.environ.items() if name != "SLIMSCOPE_DB"} | environment
    started = time.time()
    with open(logs / "server.log", "wb") as log:
        server = subprocess.Popen(command, cwd=place, env=known, stdout=log, stderr=subprocess.STDOUT)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_up(f"{address}/_stcore/health", server)
        yield Dashboard(address, server.pid, started)
    finally:
        server.terminate()
        server.wait(20)


def wait_until_up(url: str, server: subprocess.Popen) -> None:
    """Wait until a server says at this address that it is healthy."""
    until = time.monotonic() + LONGEST_START
    while time.monotonic() < until:
        if server.poll() is not None:
            raise RuntimeError(f"The dashboard ended with code {server.returncode} before it was up.")
        try:
            if urllib.request.urlopen(url, timeout=1).read() == b"ok":
                return
        except OSError:
            time.sleep(STEP)
    raise RuntimeError("The dashboard was not up after a minute.")
