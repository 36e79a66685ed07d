"""Answers of a variant made in the test, in a real browser."""

import json
import shutil

import pytest
from playwright.sync_api import expect

from core.base.paths import cached_variant
from core.engine.runs import run
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Perplexity
from core.store.store import Store
from tests.core.tiny_folder import write_tiny_folder
from tests.e2e.actions import OVERFLOW, opened, settled
from tests.e2e.browser import dashboard
from tests.e2e.test_accessibility import show_in, violations

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(600)]
MINUTES = 60_000
QUERY = "inside_tab=Answers&inside_model=tiny&inside_answers_variants=magnitude%400.5&inside_answers_tokens=24"
DRAWN = "&inside_answers_temperature=2.0&inside_answers_seed=1"


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """The address of a dashboard with a tiny model, all of whose words look like HTML, and its variant in the cache."""
    place = tmp_path_factory.mktemp("answers")
    folder = write_tiny_folder(place) / "tiny"
    tokenizer = folder / "tokenizer.json"
    known = json.loads(tokenizer.read_text())
    words = known["model"]["vocab"]
    known["model"]["vocab"] = {word if word == "<unk>" else f"<b>{word}</b>": id for word, id in words.items()}
    tokenizer.write_text(json.dumps(known))
    (place / "results").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIMSCOPE_RESULTS", str(place / "results"))
        patch.setenv("SLIMSCOPE_CACHE", str(place / "cache"))
        patch.delenv("SLIMSCOPE_DB", raising=False)
        spec = complete(
            str(folder), "magnitude@0.5", RunSettings(perplexity=[Perplexity.parse(f"{place / 'text.txt'}@32:2")])
        )
        run(spec, Store())
        assert cached_variant(spec.variant.key).is_dir()
        with dashboard(place / "results") as running:
            yield running.address, place / "results"
    shutil.rmtree(place / "cache")


def generated(page, address, query=""):
    """Return the page with finished answers."""
    settled(opened(page, f"{address}/inside?{QUERY}{query}"))
    page.get_by_role("button", name="Generate answers").click()
    page.get_by_text("Generated.").wait_for(timeout=3 * MINUTES)
    page.get_by_text("A stronger colour marks").wait_for()
    return settled(page)


def columns(page):
    return [page.locator(f".st-key-inside_answers_tokens_{place}") for place in (0, 1)]


def texts(page):
    return [column.locator(".token").all_inner_texts() for column in columns(page)]


def wait_until_boxes(page, condition):
    """Wait until the boxes of both answers, `first` and `second`, read at one moment, satisfy a condition."""
    page.wait_for_function(
        "() => {const [first, second] = [0, 1].map(n =>"
        " document.querySelector(`.st-key-inside_answers_tokens_${n}`).getBoundingClientRect());"
        f"return {condition}}}"
    )


def test_answers_stand_side_by_side_and_stacked_with_their_first_difference(page, answers):
    address, _ = answers
    generated(page, address, DRAWN)
    dense, pruned = columns(page)
    expect(dense.get_by_role("listbox")).to_have_attribute("aria-label", "Answer of Dense")
    count = next((place for place, pair in enumerate(zip(*texts(page), strict=False)) if pair[0] != pair[1]), None)
    assert count is not None
    expect(dense.locator(".differs")).to_have_count(0)
    expect(pruned.locator(".differs")).to_have_count(1)
    assert "differs" in pruned.locator(".token").nth(count).get_attribute("class")
    assert "first difference from dense" in pruned.locator(".differs").get_attribute("aria-label")
    page.get_by_text("drawn tokens").wait_for()
    wait_until_boxes(page, "Math.abs(first.top - second.top) < 2 && first.right <= second.left")
    page.set_viewport_size({"width": 400, "height": 900})
    wait_until_boxes(page, "first.left === second.left && first.bottom <= second.top")
    assert page.evaluate(OVERFLOW) <= 0


def test_the_keyboard_moves_between_tokens_and_shows_the_likeliest_as_text(page, answers):
    address, _ = answers
    generated(page, address, DRAWN)
    answer, _ = columns(page)
    page.mouse.move(0, 0)  # else a token that moves under the pointer shows its tooltip
    tooltip, found = answer.locator("[role=tooltip]"), answer.locator(".token")
    expect(tooltip).to_be_hidden()
    found.first.focus()
    expect(tooltip).to_be_visible()
    expect(tooltip.locator("tr")).to_have_count(5)
    page.keyboard.press("ArrowRight")
    expect(found.nth(1)).to_be_focused()
    assert found.nth(1).get_attribute("aria-describedby") == tooltip.get_attribute("id")
    page.keyboard.press("End")
    expect(found.last).to_be_focused()
    page.keyboard.press("Home")
    expect(found.first).to_be_focused()
    page.keyboard.press("Escape")
    expect(tooltip).to_be_hidden()
    found.nth(1).hover()
    expect(tooltip.locator("td", has_text="<b>").first).to_be_visible()
    assert any("<b>" in one for one in texts(page)[0])
    expect(answer.locator("b")).to_have_count(0)  # the tooltip has none, either


def test_a_typed_prompt_is_in_no_address_and_no_file(page, answers):
    address, results = answers
    settled(opened(page, f"{address}/inside?{QUERY}"))
    page.get_by_label("Prompt", exact=True).fill("xyzzy plugh")
    page.get_by_role("button", name="Generate answers").click()
    page.get_by_text("Generated.").wait_for(timeout=3 * MINUTES)
    assert "xyzzy" not in settled(page).url
    files = [file for file in results.parent.rglob("*") if file.is_file()]
    assert any(file.name == "server.log" for file in files)
    assert not [file for file in files if b"xyzzy" in file.read_bytes()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_finished_answers(page, answers, scheme):
    show_in(page, scheme)
    generated(page, answers[0], DRAWN)
    assert violations(page) == []
    columns(page)[1].locator(".token").first.focus()
    columns(page)[1].locator("[role=tooltip]").wait_for()
    assert violations(page) == []
