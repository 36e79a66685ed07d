"""The pages for those who see little or use no mouse: axe-core's rules, and what the keyboard alone can do."""

import itertools

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.e2e.actions import PANEL, TOY, opened, settled

pytestmark = pytest.mark.e2e
STREAMLITS_OWN = {  # (rule, part of the element): why it stays
    ("scrollable-region-focusable", 'class="katex-display"'): "A formula's box is two pixels narrower than its slanted "
    "last letter, of which nothing is hidden; that none is wider than its card is another test.",
    ("svg-img-alt", "highlighted_points_marks"): "The line of a metric has a group without a name for the mark under a "
    "pointer, and nothing is in it.",
}
SCHEMES = ("light", "dark")
IN_TEST = {("light", "explore"), ("dark", "run with a mistake")}
STATES = {
    "explore": f"?{TOY}",
    "trade-off": f"?{TOY}&explore_mode=By+size&explore_limit_times_dense=2",
    "point": f"?{TOY}&explore_point=wanda%400.3",
    "layers": "inside?inside_model=smollm2-135m&inside_variant=sparsegpt%400.5",
    "compared": "inside?inside_model=smollm2-135m&inside_tab=Compare",
    "documents": "inside?inside_tab=Documents&inside_doc_document=BoolQ+17",
    "answers": "inside?inside_tab=Answers&inside_model=toy",
    "laws": "laws",
    "run": "run?chain=wanda%400.5%2Blora",
    "run with a mistake": "run?chain=wanda%400.5%2Blorx",
    "grid": "run?run_mode=Grid",
    "autopilot": "autopilot",
    "published": "published",
    "methods": "methods",
}
STILL = "document.getAnimations().every(one => one.playState !== 'running' || one.effect.getTiming().iterations > 1)"
# Streamlit draws the style of `dashboard.shared.around` up to half a second after the page has run.
STYLED = "[...document.querySelectorAll('style')].some(one => one.textContent.includes('stCaptionContainer\"'))"
# What is just being drawn anew, as where a job is looked for, is pale for a moment.
OPAQUE = "[data-stale=true] {opacity: 1 !important; transition: none !important}"


def show_in(page, scheme: str) -> None:
    """Show a page in a colour scheme, without motion: what fades in has another contrast for a while."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")


def violations(tab) -> list[str]:
    """Return what axe-core finds on a page, each with the rule and the element."""
    tab.add_style_tag(content=OPAQUE)
    settled(tab).wait_for_function(f"{STYLED} && {STILL}")
    found = [
        (rule["id"], rule["help"], node["html"])
        for rule in Axe().run(tab).response["violations"]
        for node in rule["nodes"]
    ]
    return [
        f"{rule}: {message}: {element}"
        for rule, message, element in found
        if not any(rule == own and part in element for own, part in STREAMLITS_OWN)
    ]


@pytest.mark.parametrize(
    ("scheme", "state"),
    [
        pytest.param(*case, marks=() if case in IN_TEST else pytest.mark.full)
        for case in itertools.product(SCHEMES, STATES)
    ],
)
def test_axe_finds_nothing_that_is_not_streamlits_own(page, address, scheme, state):
    show_in(page, scheme)
    settled(opened(page, f"{address}/{STATES[state]}"))
    expect(page.locator(PANEL)).to_have_count(1 if state == "point" else 0)
    assert violations(page) == []


@pytest.mark.full
@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_in_the_export_menu(page, address, scheme):
    show_in(page, scheme)
    settled(opened(page, f"{address}/?{TOY}"))
    page.get_by_role("button", name="Export", exact=False).first.click()
    page.get_by_role("button", name="PDF", exact=True).wait_for()
    assert violations(page) == []


@pytest.mark.full
@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_on_about(page, address, scheme):
    show_in(page, scheme)
    settled(opened(page, f"{address}/about"))
    parts = page.locator("[data-testid=stMain] summary")
    expect(parts).to_have_count(3)
    for part in parts.all():
        part.click()
    assert violations(page) == []


def test_a_point_is_opened_and_closed_by_keyboard(page, address):
    opened(page, f"{address}/?{TOY}")
    page.locator(".js-plotly-plot .point").first.wait_for()
    settled(page)
    panel = page.locator(PANEL)
    page.get_by_role("combobox", name="Details of a point").focus()
    page.keyboard.type("wanda@0.3")  # which opens the list
    expect(page.get_by_role("option")).to_have_text(["Wanda 30 %, passages · wanda@0.3"])
    for key in ("ArrowDown", "Enter"):
        page.keyboard.press(key)
    panel.get_by_text("Command to reproduce it").wait_for()
    page.keyboard.press("Escape")
    panel.wait_for(state="detached")
    page.wait_for_function("!location.search.includes('explore_point')")
    settled(page)  # a table that is drawn anew loses the focus
    page.locator(".st-key-explore_points canvas").first.focus()
    for key in ("ArrowDown", "Shift+Space"):  # to a row of the table, and choose it
        page.keyboard.press(key)
    panel.get_by_text("Command to reproduce it").wait_for()
    panel.get_by_role("button", name="Close").press("Enter")
    panel.wait_for(state="detached")
    page.wait_for_function("!location.search.includes('explore_point')")
