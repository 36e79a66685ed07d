"""Comparison of several variants in a browser, from the comparison of two points on Explore."""

from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.e2e.actions import opened, run_again, settled

pytestmark = [pytest.mark.e2e, pytest.mark.full]


def test_a_compared_pair_is_extended_and_its_baseline_changed(page, address):
    pair = [("explore_compared", f"{name}, 50 % · {name.lower()}@0.5") for name in ("SparseGPT", "Wanda")]
    settled(opened(page, f"{address}/?{urlencode([('explore_model', 'smollm2-135m'), *pair])}"))
    page.get_by_role("link", name="Compare up to four").click()
    page.get_by_role("heading", name="Inside").wait_for()
    settled(page)
    expect(page.get_by_text("SparseGPT, 50 % is better in perplexity on WikiText-2").first).to_be_visible()
    with run_again(page):
        page.get_by_role("combobox", name="Variants").fill("dense · dense")
        page.get_by_role("option", name="Dense · dense").first.click()
        page.keyboard.press("Escape")  # closes the list
    with run_again(page):
        page.get_by_role("combobox", name="Baseline").click()
        page.get_by_role("option", name="Dense · dense").click()
    page.wait_for_url("**inside_baseline=Dense*")
    expect(page.get_by_text("Dense is better than").first).to_be_visible()
