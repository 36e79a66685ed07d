"""Two points compared in a real browser, with counted actions."""

import pytest
from playwright.sync_api import expect

from tests.e2e.test_browser import TOY, opened, pick, settled

pytestmark = pytest.mark.e2e
HEADER, ROW, TICK = 35, 35, 18  # px of a table: heights of its header and rows, and the middle of a tick


class Visitor:
    """A person who counts each click and each typed choice."""

    def __init__(self, page):
        self.page, self.actions = page, 0

    def choose(self, field: str, typed: str, option: str):
        """Type into a field with a list and choose an option."""
        pick(self.page, field, typed, option)
        self.actions += 1

    def tick(self, table: str, row: int):
        """Tick a row of a table, from 0."""
        canvas = settled(self.page).locator(f".st-key-{table} canvas").first
        canvas.scroll_into_view_if_needed()
        canvas.click(position={"x": TICK, "y": HEADER + ROW * row + ROW // 2}, force=True)  # under its scroller
        self.actions += 1

    def close(self):
        """Close the drawer."""
        self.page.keyboard.press("Escape")
        self.page.get_by_role("dialog").wait_for(state="detached")
        self.actions += 1


def test_wanda_and_sparsegpt_at_2_4_are_compared_in_three_actions(page, address, browser):
    visitor = Visitor(opened(page, address))
    page.locator(".js-plotly-plot .point").first.wait_for()
    visitor.choose("Compare two points", "wanda@2:4", "Wanda, 2:4 · wanda@2:4")
    visitor.choose("Compare two points", "sparsegpt@2:4", "SparseGPT, 2:4 · sparsegpt@2:4")
    drawer = page.get_by_role("dialog")
    answer = "SparseGPT, 2:4 is better than Wanda, 2:4 in perplexity on WikiText-2"
    drawer.get_by_text(answer).first.wait_for()
    drawer.locator(".js-plotly-plot", has_text="SparseGPT, 2:4 is better").wait_for()
    assert visitor.actions <= 3
    link = settled(page).url
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = opened(context.new_page(), link)
    tab.get_by_role("dialog").get_by_text(answer).first.wait_for()
    context.close()
    page.go_back()
    drawer.wait_for(state="detached")


def test_two_ticks_of_a_table_open_the_comparison(page, address):
    visitor = Visitor(opened(page, f"{address}/?{TOY}"))
    page.locator(".js-plotly-plot .point").first.wait_for()
    visitor.tick("explore_points", 1)
    page.get_by_role("dialog").get_by_text("Command to reproduce it").wait_for()
    visitor.close()
    visitor.tick("explore_points", 2)
    expect(page.get_by_role("dialog")).to_contain_text("cannot be paired")
    assert visitor.actions == 3
    page.wait_for_url(lambda url: url.count("explore_compared=") == 2)
