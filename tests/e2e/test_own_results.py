"""A newcomer with mouse, phone and keyboard: a first run beside the bundled curves, and the links to the pages."""

import time

import pytest
from playwright.sync_api import expect
from sqlalchemy import update

from core.engine.variants import describe
from core.jobs.queue import Queue
from core.store.store import Store
from core.store.tables import jobs
from tests.core.factories import make, perplexity
from tests.e2e.test_browser import PAGES, TOY, opened, settled
from tests.e2e.test_run_page import computing

__all__ = ["computing"]
pytestmark = pytest.mark.e2e
TITLES = [title for _, title in PAGES]


def ended(results) -> None:
    """Stop the only job, which waits for its turn to compute, and store made-up numbers as those that it measured."""
    store = Store(f"sqlite:///{results / 'local.db'}")
    queue = Queue(store)
    (job,) = queue.active()
    queue.cancel(job.id)
    while queue.active():
        time.sleep(0.1)
    number = perplexity(24.0, job.spec.perplexity[0].corpus)
    store.put(make(number).model_copy(update={"variant": describe(job.spec.variant)}))
    with store.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(state="done", error=None))


def test_a_run_is_on_the_bundled_chart_after_four_actions(page, address, computing, results):
    settled(opened(page, address))
    page.get_by_role("link", name="Run", exact=False).first.click()  # 1
    chain = page.get_by_label("Chain of stages", exact=True).first
    chain.wait_for()
    settled(page)
    chain.fill("ria@0.33")
    chain.press("Enter")  # 2
    expect(page.get_by_role("combobox", name="Stage 1")).to_have_value("RIA · removes weights")
    settled(page)
    page.get_by_role("button", name="Start").click()  # 3
    page.locator("[class*=st-key-run_job_]").first.get_by_role("progressbar").wait_for()
    ended(results)
    page.reload()  # in place of the minutes of a run
    page.get_by_role("link", name="Show on Explore").click()  # 4
    page.get_by_role("heading", name="Explore").wait_for()
    chart = page.locator(".js-plotly-plot").first
    chart.locator(".scatterlayer .point").first.wait_for()
    settled(page)
    drawn = chart.evaluate(
        "chart => chart.calcdata.filter(one => one[0].trace.customdata).map("
        "one => [one[0].trace.name, one.map(point => point.x)])"
    )
    assert any(name.startswith("RIA") and 0.33 in places for name, places in drawn)
    assert any(name.startswith("Wanda") and len(places) > 2 for name, places in drawn)


@pytest.mark.matrix(width=None)
@pytest.mark.parametrize("width", [1280, 400])
def test_links_to_the_pages_are_in_sight_and_first_for_the_keyboard(page, address, width):
    page.set_viewport_size({"width": width, "height": 900})
    settled(opened(page, f"{address}/?{TOY}"))
    page.locator(".js-plotly-plot .scatterlayer .point").first.wait_for()  # Streamlit's own links are hidden by then
    for title in TITLES:
        expect(page.get_by_role("link", name=title).first).to_be_in_viewport(ratio=1)
    stops = []
    for _ in range(9):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel || ''"))
    places = [next(place for place, stop in enumerate(stops) if stop.split("\n")[-1] == title) for title in TITLES]
    assert places == sorted(places)
    assert page.evaluate("document.activeElement.closest('[data-testid=stSidebar]')") is None
    page.get_by_role("link", name="Published").first.click()
    page.get_by_role("heading", name="Published").wait_for()


def test_a_narrow_window_shows_cards_in_place_of_a_wide_table(page, address):
    settled(opened(page, f"{address}/?{TOY}"))
    table, cards = (page.locator(f".st-key-{kind}_explore_points") for kind in ("wide", "narrow"))
    table.wait_for()
    cards.wait_for(state="hidden")
    page.set_viewport_size({"width": 400, "height": 900})
    table.wait_for(state="hidden")
    expect(cards.locator("li").first).to_contain_text("Dense")
    assert cards.evaluate("one => one.scrollWidth <= one.clientWidth")
