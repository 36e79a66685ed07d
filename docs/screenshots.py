"""Pictures of every page and state, to look at: `python -m docs.screenshots FOLDER [STATE ...]`.

They are of a machine where nothing was run yet, in three widths, light and dark. The README's picture is the first view
of Explore: `python -m docs.screenshots docs --readme` writes it.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from os import environ
from pathlib import Path
from urllib.parse import urlencode

from core.paths import PROJECT

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
WIDTHS, SCHEMES = (1280, 400, 1920), ("light", "dark")
HIGH, TALLEST = 900, 6000  # pixels: of the window, and of a page that is shown whole
BUDGET = {"explore_mode": "Trade-off", "explore_limit_packed_mb": "180"}
STATES: dict[str, tuple[str, dict[str, str]]] = {  # name -> (page, address)
    "explore": ("", {}),
    "explore-structured": ("", {"explore_families": "Structured", "explore_tasks": "Task by task"}),
    "explore-low-rank": ("", {"explore_families": "Low rank", "explore_x": "packed size"}),
    "explore-accuracies": ("", {"explore_tasks": "Task by task", "explore_as": "Accuracy"}),
    "explore-point": ("", {"explore_point": "sparsegpt@0.5"}),
    "budget": ("", BUDGET | {"explore_limit_times_dense": "2"}),
    "budget-nothing-fits": ("", BUDGET | {"explore_limit_times_dense": "1.2"}),
    "budget-accuracy": ("", BUDGET | {"explore_quality": "Mean accuracy"}),
    "run": ("run", {}),
    "run-chain": ("run", {"chain": "slimllm@0.25+lora,minutes=5", "run_tasks": "PIQA"}),
    "run-grid": ("run", {"run_mode": "Grid"}),
    "run-mistake": ("run", {"chain": "wanda@0.5+lorx"}),
    "published": ("published", {}),
    "published-tasks": ("published", {"published_table_name": "SparseGPT: OPT-175B, zero-shot"}),
    "methods": ("methods", {}),
}
README = {"explore_at": "50 %"}


@contextmanager
def dashboard() -> Iterator[str]:
    """Run a dashboard on a free port, with no results but the shipped ones; yield its address."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as results:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        command = [sys.executable, "-m", "streamlit", "run", "dashboard/server.py", "--server.port", port]
        known = environ | {"SLIMSCOPE_RESULTS": results, "PYTHONPATH": str(PROJECT)}
        server = subprocess.Popen(command, cwd=PROJECT, env=known, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait(f"http://127.0.0.1:{port}/_stcore/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(20)


def _wait(url: str) -> None:
    for _ in range(240):
        try:
            if urllib.request.urlopen(url, timeout=1).read() == b"ok":
                return
        except OSError:
            time.sleep(0.25)
    raise SystemExit("The dashboard was not up after a minute.")


def picture(browser, address: str, file: Path, width: int, scheme: str, whole: bool = True) -> None:
    """Take one picture, of the whole page or of what a window shows at once."""
    context = browser.new_context(viewport={"width": width, "height": HIGH}, color_scheme=scheme)
    tab = context.new_page()
    tab.set_default_timeout(120_000)
    tab.goto(address)
    tab.locator("h1").wait_for()
    tab.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    if tab.locator("[data-testid=stPlotlyChart]").count():
        tab.locator(".js-plotly-plot .main-svg").first.wait_for()
    tab.wait_for_timeout(1500)  # charts move to their places
    if whole:
        high = tab.locator("[data-testid=stMain]").evaluate("page => page.scrollHeight")
        tab.set_viewport_size({"width": width, "height": min(int(high) + 60, TALLEST)})
        tab.wait_for_timeout(1000)
    tab.screenshot(path=file)
    context.close()


def main(folder: Path, asked: list[str]) -> None:
    from playwright.sync_api import sync_playwright

    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        raise SystemExit("No Chromium on this machine; install it, such as by `apt-get install chromium`.")
    if unknown := set(asked) - {*STATES, "--readme"}:
        raise SystemExit(f"Unknown: {', '.join(sorted(unknown))}. There are {', '.join(STATES)}.")
    folder.mkdir(parents=True, exist_ok=True)
    with dashboard() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        if "--readme" in asked:
            picture(browser, f"{address}/?{urlencode(README)}", folder / "explore.png", 1600, "light", whole=False)
        for name in [name for name in asked or STATES if name in STATES]:
            page, query = STATES[name]
            whole = name != "explore-point"  # a drawer is as high as the window
            for width in WIDTHS:
                for scheme in SCHEMES:
                    file = folder / f"{name}-{width}-{scheme}.png"
                    picture(browser, f"{address}/{page}?{urlencode(query)}", file, width, scheme, whole)
                    print(file)
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
