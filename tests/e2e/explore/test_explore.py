"""Explore in a real browser: clicks on its chart and its table, and what stands where on a phone."""

import itertools

import pytest
from playwright.sync_api import expect

from tests.e2e.actions import PANEL, TOY, center, click_mark, opened, run_again, settled

pytestmark = pytest.mark.e2e
ROW, TICK = 35, 18  # px of a table: the height of its header and rows, and the middle of a tick


def test_a_click_on_the_curve_opens_the_point(page, address):
    opened(page, f"{address}/?{TOY}")
    chart = page.locator(".js-plotly-plot").first
    chart.locator(".scatterlayer .point").first.wait_for()
    settled(page)
    lines = chart.locator(".scatterlayer .trace", has=page.locator(".point:nth-child(4)"))  # four ratios
    click_mark(page, lambda: center(lines.first.locator(".point").nth(3)), "explore_point=")
    page.get_by_text("slimscope run toy").wait_for()
    assert "explore_at=40" in page.url
    page.locator(PANEL).get_by_text("40 %").first.wait_for()
    faded = "points => points.filter(point => getComputedStyle(point).opacity < 1).length"
    assert chart.locator(".scatterlayer .point").evaluate_all(faded) == 0
    page.keyboard.press("Escape")
    page.locator(PANEL).wait_for(state="detached")
    page.wait_for_function("!location.search.includes('explore_point')")
    page.get_by_text("at a pruning ratio of 40 %").wait_for()


def tick(page, row: int):
    """Tick a row of the table, from 0."""
    canvas = settled(page).locator(".st-key-explore_points canvas").first
    canvas.scroll_into_view_if_needed()
    with run_again(page):
        canvas.click(position={"x": TICK, "y": ROW * (row + 1) + ROW // 2}, force=True)  # under its scroller


@pytest.mark.full
def test_two_ticks_of_the_table_open_the_comparison(page, address):
    opened(page, f"{address}/?{TOY}")
    page.locator(".js-plotly-plot .point").first.wait_for()
    panel = page.locator(PANEL)
    tick(page, 1)
    panel.get_by_text("Command to reproduce it").wait_for()
    tick(page, 2)  # beside the panel, which does not cover the table
    page.wait_for_url(lambda url: url.count("explore_compared=") == 2)
    panel.get_by_text("Compare up to four").wait_for()
    page.go_back()
    panel.get_by_text("Command to reproduce it").wait_for()
    panel.get_by_role("button", name="Close").click()
    panel.wait_for(state="detached")


@pytest.mark.full
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("axis", ["pruning ratio", "packed size"])
def test_labels_stay_inside_the_chart_and_none_lies_on_another(page, address, axis, width):
    page.set_viewport_size({"width": width, "height": 900})
    opened(page, f"{address}/?{TOY}&explore_x={axis.replace(' ', '+')}")
    chart = page.locator(".js-plotly-plot").first
    chart.locator(".textpoint text").first.wait_for()
    settled(page)
    outer = chart.bounding_box()
    for text in chart.locator("text:visible").all():
        box = text.bounding_box()
        if box and box["width"]:
            assert outer["x"] - 1 <= box["x"], text.text_content()
            assert box["x"] + box["width"] <= outer["x"] + outer["width"] + 1, text.text_content()
    boxes = [text.bounding_box() for text in chart.locator(".textpoint text").all()]
    patterns = 0 if axis == "pruning ratio" else 2  # along ratios, the axis names them; hover names those of the band
    assert len(boxes) == patterns + 5  # and the dense line, three names and the chosen amount
    for one, other in itertools.combinations(boxes, 2):
        across = one["x"] < other["x"] + other["width"] and other["x"] < one["x"] + one["width"]
        down = one["y"] < other["y"] + other["height"] and other["y"] < one["y"] + one["height"]
        assert not (across and down), (one, other)


@pytest.mark.full
def test_a_narrow_window_shows_cards_in_place_of_a_wide_table(page, address):
    settled(opened(page, f"{address}/?{TOY}"))
    table, cards = (page.locator(f".st-key-{kind}_explore_points") for kind in ("wide", "narrow"))
    table.wait_for()
    cards.wait_for(state="hidden")
    page.set_viewport_size({"width": 400, "height": 900})
    table.wait_for(state="hidden")
    expect(cards.locator("li").first).to_contain_text("Dense")
    assert cards.evaluate("one => one.scrollWidth <= one.clientWidth")
