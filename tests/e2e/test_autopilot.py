"""A whole search in a real browser: the question, its trials, its stop and the certificate."""

import re

import pytest
from playwright.sync_api import expect

from tests.core.search.texts import write_wide
from tests.core.tiny_folder import write_tiny_folder
from tests.e2e.actions import enter, opened, settled
from tests.e2e.browser import dashboard

pytestmark = [pytest.mark.e2e, pytest.mark.full]
MINUTE = 60_000  # ms


@pytest.fixture
def wide(tmp_path):
    """A small model of two blocks, and a dashboard beside it."""
    write_tiny_folder(tmp_path)
    write_wide(tmp_path)
    (tmp_path / "results").mkdir()
    with dashboard(tmp_path / "results") as running:
        yield tmp_path / "wide", running.address


def searching(wide, page):
    """Start a search, wait for its first trial, and return the address of the dashboard."""
    model, address = wide
    settled(opened(page, f"{address}/autopilot"))
    enter(page.get_by_label("Model", exact=True), str(model))
    enter(page.get_by_label("At most (MB)", exact=True), "0.07")
    page.get_by_role("button", name="Search", exact=True).click()
    page.get_by_text("Best so far:").wait_for(timeout=2 * MINUTE)
    return address


@pytest.mark.timeout(300)
def test_a_search_runs_stops_and_is_judged(wide, page):
    searching(wide, page)
    page.locator(".js-plotly-plot").first.wait_for()
    page.reload()  # a search outlives the page that started it
    page.get_by_role("button", name="Stop and take the best").click()
    page.get_by_text("Judged on").first.wait_for(timeout=2 * MINUTE)
    expect(page.locator("[data-testid=stCode]").first).to_contain_text("slimscope run")
    way = page.get_by_role("link", name="Show on Explore")
    way.click()
    expect(page.locator("h1")).to_have_text(re.compile("^(At|With) "))


@pytest.mark.timeout(300)
def test_a_search_is_cancelled_on_the_page_run(wide, page):
    address = searching(wide, page)
    opened(page, f"{address}/run")
    page.reload()
    search = page.locator("[class*=st-key-run_search_]")
    expect(search).to_contain_text("Search: wide below 0.07 MB")
    search.get_by_role("button", name="Cancel").click()
    search.wait_for(state="detached", timeout=MINUTE)
    settled(opened(page, f"{address}/autopilot"))
    page.get_by_text("This search was interrupted.").wait_for()
    expect(page.get_by_text("Best so far:")).to_be_visible()  # its numbers remain
