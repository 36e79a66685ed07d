"""The best model within a budget in a real browser, with counted actions."""

import pytest

from core.request.stages import DEFAULT_MODEL
from core.store.bundled import read_measured
from tests.e2e.test_browser import opened, settled

pytestmark = pytest.mark.e2e
MOST = 100  # MB


def perplexities():
    """Return the packed MB and the perplexity of each bundled variant on the first text of the page."""
    found = {}
    for key, result in read_measured().results.items():
        if result.variant.model == DEFAULT_MODEL and result.footprint:
            for row in result.measurements:
                if (row.dataset, row.metric, row.n) == ("wikitext2", "perplexity", 16) and row.protocol[
                    "window"
                ] == 2048:
                    found[key] = result.footprint.packed_bytes / 1e6, row.value, result.variant.dense_key
    return found


def test_the_best_model_below_100_mb_is_stated_after_two_actions(page, address):
    opened(page, address)
    page.locator(".js-plotly-plot .point").first.wait_for()
    page.get_by_role("radio", name="Trade-off", exact=True).click()  # 1
    field = page.get_by_label("I have (MB)", exact=True)
    field.fill(str(MOST))  # 2
    field.press("Enter")
    answer = page.get_by_text(f"at most {MOST} MB").first
    answer.wait_for()
    known = perplexities()
    size, value, dense = min((one for one in known.values() if one[0] <= MOST), key=lambda one: one[1])
    settled(page)
    assert f"{value / known[dense][1]:.3f} times dense" in answer.inner_text()
    assert f"{size:.1f} MB packed" in answer.inner_text()
