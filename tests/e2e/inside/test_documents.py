"""The documents that flip, on the bundled rows in a real browser: a click, a filter, and the link of both."""

import re
from urllib.parse import parse_qs, urlencode, urlparse

import pytest
from playwright.sync_api import expect

from tests.e2e.actions import OVERFLOW, center, click_mark, opened, settled

pytestmark = [pytest.mark.e2e, pytest.mark.full]
VIEW = {"inside_tab": "Documents", "inside_variant": "sparsegpt@0.5", "inside_doc_task": "ARC-e"}


def check_document(page, label):
    expect(page.get_by_text(re.compile(rf"^{label}: right to wrong\. Margin of Dense"))).to_be_visible(timeout=60_000)
    rows = page.locator("table.choices tr.right")  # after the text was read, which imports the harness
    expect(rows).to_have_count(1)
    expect(rows.locator("th")).to_contain_text("right")


def test_a_click_on_a_point_opens_its_document_and_a_link_restores_the_view(page, address, context):
    opened(page, f"{address}/inside?{urlencode(VIEW)}")
    chart = page.locator(".js-plotly-plot").first
    chart.locator(".scatterlayer .point").first.wait_for()
    settled(page)
    click_mark(
        page, lambda: center(chart.locator(".scatterlayer .trace").last.locator(".point").first), "doc_document="
    )
    (label,) = parse_qs(urlparse(page.url).query)["inside_doc_document"]
    assert re.fullmatch(r"ARC-e \d+", label)
    check_document(page, label)
    settled(page).get_by_role("combobox", name="Direction").focus()
    page.keyboard.type("Both right")
    page.get_by_role("option", name="Both right", exact=True).click()
    chart.locator(".legendtext", has_text="both right").wait_for()
    assert "inside_doc_direction=Both+right" in settled(page).url
    assert chart.locator(".legendtext", has_text="right to wrong").count() == 0
    tab = context.new_page()
    tab.set_viewport_size({"width": 400, "height": 900})
    opened(tab, page.url)
    check_document(tab, label)
    expect(settled(tab).get_by_role("combobox", name="Direction")).to_have_value("Both right")
    assert tab.evaluate(OVERFLOW) <= 0
    tab.close()
