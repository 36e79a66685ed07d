"""Seconds of Explore in Chromium, each against the floor: a bare page that draws the same figure."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from playwright.sync_api import Browser, Page
from streamlit.testing.v1 import AppTest

from core.base.paths import PROJECT, local_results_dir
from tests.e2e.browser import Dashboard, chromium, dashboard, served

BARE = Path(__file__).with_name("bare_page.py")
CONFIGURATION = PROJECT / "dashboard" / ".streamlit"
START, OPENED, PAINTED = "process start to first chart", "first chart after opening", "first chart after first paint"
FIRST, SECOND = "first visit", "second visit"
PEAK = "the server's peak"
CHOICE = "a choice"  # on the bare page
CHOICES = ("another amount", "a method off", "a family on", "a family off")
MEMORY = 600.0  # MB
MOST_FLOORS = 2.0  # of a choice
AMOUNT = "10 %"  # not the first choice
QUIET = 3000  # ms after the first chart

# Records the time of the first chart inside the page, since polling would wait until the page is idle.
APPEARS = """new MutationObserver((_, seen) => {
    if (document.querySelector('.js-plotly-plot .main-svg')) { window.chart = performance.now(); seen.disconnect(); }
}).observe(document, {subtree: true, childList: true});"""
# Records the last click and the last change of the page. Changes inside a table's canvas do not count: its text for
# screen readers follows a fifth of a second after the table is drawn.
WATCH = """() => {
    window.changed = 0;
    document.addEventListener('click', () => { window.started = performance.now(); }, true);
    const seen = ({target}) => !(target.closest ? target : target.parentElement)?.closest('canvas');
    new MutationObserver((all) => { if (all.some(seen)) window.changed = performance.now(); }).observe(
        document.querySelector('[data-testid="stMain"]'), {subtree: true, childList: true, characterData: true}
    );
}"""
IDLE = """() => {
    const app = document.querySelector('[data-testid="stApp"]');
    return app.dataset.testScriptState === 'notRunning' && window.changed > window.started
        && performance.now() - window.changed > 1200;
}"""


class Compared(NamedTuple):
    """A median over several servers, the floor's in the same run, and the target: a ratio, or MB of the peak."""

    name: str
    value: float
    floor: float
    target: float | None


def compare_with_floor(servers: int, first: float) -> list[Compared]:
    """Measure Explore and the bare page in turn, and return the medians.

    Args:
        servers: Number of servers of each page.
        first: Target of the first chart, in floors.
    """
    ours: list[dict[str, float]] = []
    floors: list[dict[str, float]] = []
    with TemporaryDirectory() as temporary, chromium() as browser:
        script = _bare_page(Path(temporary))
        for _ in range(servers):
            with dashboard(local_results_dir()) as server:
                ours.append(dict(_explore(browser, server)))
            with served(script, script.parent, {}, script.parent) as server:
                floors.append(dict(_bare(browser, server)))
    found = []
    for name in ours[0]:
        floor = CHOICE if name in CHOICES else name
        target = MEMORY if name == PEAK else MOST_FLOORS if name in CHOICES else first if OPENED in name else None
        value, its_floor = median(one[name] for one in ours), median(one[floor] for one in floors)
        found.append(Compared(name, value, its_floor, target))
    return found


def _bare_page(folder: Path) -> Path:
    """Write the bare page into a folder, with two figures of Explore and the dashboard's configuration."""
    figures = []
    for address in ({}, {"explore_at": AMOUNT}):
        app = AppTest.from_file(str(PROJECT / "dashboard" / "app.py"), default_timeout=300)
        app.query_params.update(address)
        figures.append(app.run().get("plotly_chart")[0].proto.spec)
    (folder / "figures.json").write_text(f"[{','.join(figures)}]")
    shutil.copytree(CONFIGURATION, folder / CONFIGURATION.name)
    return Path(shutil.copy(BARE, folder))


def _explore(browser: Browser, server: Dashboard) -> Iterator[tuple[str, float]]:
    with _visits(browser, server) as (tab, seconds):
        yield from seconds.items()
        yield CHOICES[0], _done(tab, tab.locator(".st-key-explore_at").get_by_text(AMOUNT, exact=True).click)
        chosen = tab.get_by_test_id("stMultiSelect").first
        off = chosen.get_by_role("button", name=re.compile("Remove")).or_(chosen.locator("[data-baseweb=tag] svg"))
        yield CHOICES[1], _done(tab, off.first.click)
        family = tab.get_by_test_id("stSidebar").get_by_text("Structured", exact=True).first
        yield CHOICES[2], _done(tab, family.click)
        yield CHOICES[3], _done(tab, family.click)
        yield PEAK, server.peak()


def _bare(browser: Browser, server: Dashboard) -> Iterator[tuple[str, float]]:
    with _visits(browser, server) as (tab, seconds):
        yield from seconds.items()
        yield CHOICE, _done(tab, tab.locator(".st-key-figure button").nth(1).click)
        yield PEAK, server.peak()


@contextmanager
def _visits(browser: Browser, server: Dashboard) -> Iterator[tuple[Page, dict[str, float]]]:
    """Open a page twice, each time with an empty cache; give the second tab and the seconds of both."""
    seconds: dict[str, float] = {}
    for visit in (FIRST, SECOND):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        tab = context.new_page()
        tab.set_default_timeout(120_000)
        tab.add_init_script(APPEARS)
        tab.goto(server.address)
        tab.wait_for_function("window.chart")
        painted, chart, origin = tab.evaluate(
            "[performance.getEntriesByName('first-contentful-paint')[0].startTime, window.chart,"
            " performance.timeOrigin]"
        )
        if visit == FIRST:
            seconds[START] = (origin + chart) / 1000 - server.started
        seconds[f"{visit}, {OPENED}"] = chart / 1000
        seconds[f"{visit}, {PAINTED}"] = (chart - painted) / 1000
        if visit == FIRST:
            context.close()
    tab.wait_for_timeout(QUIET)
    tab.evaluate(WATCH)
    yield tab, seconds
    context.close()


def _done(tab: Page, click: Callable[[], None]) -> float:
    """Click, and return the seconds until the last change of the page."""
    click()
    tab.wait_for_function(IDLE)
    seconds = float(tab.evaluate("window.changed - window.started")) / 1000
    tab.wait_for_timeout(500)
    return seconds
