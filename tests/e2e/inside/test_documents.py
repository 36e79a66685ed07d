"""The documents that flip, on the bundled rows in a real browser."""

import re
from urllib.parse import parse_qs, urlencode, urlparse

import pytest
from playwright.sync_api import expect

from tests.e2e.actions import OVERFLOW, center, click_mark, opened, settled

pytestmark = [pytest.mark.e2e, pytest.mark.full]
VIEW = {"inside_tab": "Documents", "inside_variant": "sparsegpt@0.5", "inside_doc_task": "ARC-e"}


def test_a_click_on_a_point_opens_its_document(page, address):
    opened(page, f"{address}/inside?{urlencode(VIEW)}")
    marks = page.locator(".js-plotly-plot").first.locator(".scatterlayer")
    marks.locator(".point").first.wait_for()
    click_mark(page, lambda: center(marks.locator(".trace").last.locator(".point").first), "doc_document=")
    (label,) = parse_qs(urlparse(page.url).query)["inside_doc_document"]
    expect(page.get_by_text(re.compile(rf"^{label}: right to wrong\. Margin of Dense"))).to_be_visible()
    right = page.locator("table.choices tr.right")  # after the text was read, which imports the harness
    expect(right.locator("th")).to_contain_text("right")
    page.set_viewport_size({"width": 400, "height": 900})
    page.wait_for_function(f"{OVERFLOW} <= 0")
    settled(page)
