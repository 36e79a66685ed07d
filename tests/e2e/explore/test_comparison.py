"""Two points compared in a real browser, with counted actions."""

import pytest
from playwright.sync_api import expect

from tests.e2e.actions import TOY, opened, pick, run_again, settled

pytestmark = [pytest.mark.e2e, pytest.mark.full]
HEADER, ROW, TICK = 35, 35, 18  # px of a table: heights of its header and rows, and the middle of a tick


def tick(page, table: str, row: int):
    """Tick a row of a table, from 0."""
    canvas = settled(page).locator(f".st-key-{table} canvas").first
    canvas.scroll_into_view_if_needed()
    with run_again(page):
        canvas.click(position={"x": TICK, "y": HEADER + ROW * row + ROW // 2}, force=True)  # under its scroller


def test_wanda_and_sparsegpt_at_2_4_are_compared_in_two_actions(page, address, context):
    opened(page, address)
    page.locator(".js-plotly-plot .point").first.wait_for()
    pick(page, "Compare two points", "wanda@2:4", "Wanda, 2:4 · wanda@2:4")
    pick(page, "Compare two points", "sparsegpt@2:4", "SparseGPT, 2:4 · sparsegpt@2:4")
    drawer = page.get_by_role("dialog")
    answer = "SparseGPT, 2:4 is better than Wanda, 2:4 in perplexity on WikiText-2"
    drawer.get_by_text(answer).first.wait_for()
    drawer.locator(".js-plotly-plot", has_text="SparseGPT, 2:4 is better").wait_for()
    tab = opened(context.new_page(), settled(page).url)
    tab.get_by_role("dialog").get_by_text(answer).first.wait_for()
    tab.close()
    page.go_back()
    drawer.wait_for(state="detached")


def test_two_ticks_of_a_table_open_the_comparison(page, address):
    opened(page, f"{address}/?{TOY}")
    page.locator(".js-plotly-plot .point").first.wait_for()
    drawer = page.get_by_role("dialog")
    tick(page, "explore_points", 1)
    drawer.get_by_text("Command to reproduce it").wait_for()
    with run_again(page):
        page.keyboard.press("Escape")
        drawer.wait_for(state="detached")
    tick(page, "explore_points", 2)
    expect(drawer).to_contain_text("cannot be paired")
    page.wait_for_url(lambda url: url.count("explore_compared=") == 2)
