"""The prompts of the default model's shipped rows, read in a real browser."""

from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from core.data import files
from core.data.cards import card
from tests.e2e.actions import OVERFLOW, opened, settled

pytestmark = [pytest.mark.e2e, pytest.mark.real, pytest.mark.full]
VIEW = {
    "explore_mode": "Few-shot",
    "explore_prompt_task": "piqa",
    "explore_prompt_kind": "4 demonstrations, as turns of a chat",
}


@pytest.mark.parametrize("width", [1280, 400])
def test_a_chats_prompt_is_read_with_its_demonstrations_coloured(page, address, width):
    for file in (card("piqa").file, card("piqa").pool):
        if file:
            files.get(file)
    page.set_viewport_size({"width": width, "height": 900})
    settled(opened(page, f"{address}/?{urlencode(VIEW)}"))
    page.get_by_text("Show the prompt").click()
    shown = page.locator("[data-testid=stHtml]")
    # With an empty cache the model is fetched and converted first.
    expect(shown.locator("span[title=example]")).to_have_count(4, timeout=300_000)
    expect(shown.locator("span[title=question]")).to_have_count(1)
    turns = shown.filter(has=page.locator("span[title=question]")).inner_text()
    assert turns.count("<|im_start|>user") == 5 == turns.count("<|im_start|>assistant")
    assert page.evaluate(OVERFLOW) <= 0
    settled(page)
