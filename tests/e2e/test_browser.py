"""Each page of the dashboard in a real browser, and the exports."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from core.registry import STAGES
from tests.e2e.actions import OVERFLOW, TOY, opened, settled

pytestmark = pytest.mark.e2e
POINT = ".js-plotly-plot .scatterlayer .point"
PAGES = [  # address, title, and an element that the page draws last
    ("", "At 50 % pruning", POINT),
    ("inside", "Inside", POINT),
    ("laws", "Laws", POINT),
    ("run", "Run", "button:has-text('Start'):enabled"),
    ("autopilot", "Autopilot", "button:has-text('Search')"),
    ("published", "Published", POINT),
    ("methods", "Methods", ".katex-display"),
    ("about", "About", "summary"),
]
TITLES = ["Explore", *(title for _, title, _ in PAGES[1:])]


@pytest.mark.parametrize(("path", "title", "drawn"), PAGES)
def test_a_page_opens_fits_and_asks_no_other_machine(page, address, path, title, drawn):
    asked, logged = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on(
        "console", lambda message: message.type == "error" and logged.append(message.location["url"] + message.text)
    )
    settled(opened(page, f"{address}/{path}?{TOY}"))
    page.locator(drawn).first.wait_for(state="attached")
    assert page.locator("h1").inner_text().startswith(title)
    page.wait_for_function("document.querySelector('link[rel~=icon]').href.startsWith('data:image/svg')")
    assert page.evaluate(OVERFLOW) <= 0
    page.set_viewport_size({"width": 400, "height": 900})
    page.wait_for_function(f"{OVERFLOW} <= 0")
    assert any(url.startswith(address) for url in asked)
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert [line for line in logged if "/_stcore/" not in line] == []  # where Streamlit looks for the server's root


@pytest.mark.full
@pytest.mark.parametrize("width", [1280, 400])
def test_links_to_the_pages_are_in_sight_and_first_for_the_keyboard(page, address, width):
    page.set_viewport_size({"width": width, "height": 900})
    settled(opened(page, f"{address}/?{TOY}"))
    page.locator(POINT).first.wait_for()  # Streamlit's own links are hidden by then
    for title in TITLES:
        expect(page.get_by_role("link", name=title).first).to_be_in_viewport(ratio=1)
    stops = []
    for _ in range(4 + len(TITLES)):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel || ''"))
    places = [next(place for place, stop in enumerate(stops) if stop.split("\n")[-1] == title) for title in TITLES]
    assert places == sorted(places)
    assert page.evaluate("document.activeElement.closest('[data-testid=stSidebar]')") is None
    page.get_by_role("link", name="Published").first.click()
    page.get_by_role("heading", name="Published").wait_for()


@pytest.mark.full
@pytest.mark.parametrize("width", [1280, 400])
def test_every_formula_and_mark_is_drawn_and_the_map_leads_to_the_cards(page, address, width):
    page.set_viewport_size({"width": width, "height": 900})
    settled(opened(page, f"{address}/methods"))
    formulas = page.locator(".katex-display")
    expect(formulas).to_have_count(sum(len(method.formulas) for method in STAGES if method.family != "dense"))
    assert page.locator(".katex-error").count() == 0
    edge = "one.closest('[data-testid=stVerticalBlock]').getBoundingClientRect().right + 1"
    far = "Math.max(...[...one.querySelectorAll('.base')].map(part => part.getBoundingClientRect().right))"
    scrolls = "getComputedStyle(one).overflowX === 'auto' && one.getBoundingClientRect().right <= edge"
    # On a phone, a long formula scrolls inside its card.
    kept = scrolls.replace("edge", edge) if width < 1280 else "false"
    found = f"found.filter(one => {far} > {edge} && !({kept}))"
    wide = f"found => {found}.map(one => one.querySelector('annotation').textContent)"
    assert formulas.evaluate_all(wide) == []
    assert page.locator("[data-testid=stHtml] img").evaluate_all("found => found.every(one => one.naturalWidth > 0)")
    page.locator("[data-testid=stHtml] a[href='#slicegpt']").click()
    page.wait_for_function("Math.abs(document.getElementById('slicegpt').getBoundingClientRect().top) < 450")


def test_exports_download(page, address):
    settled(opened(page, f"{address}/?{TOY}"))
    page.get_by_role("button", name="Export", exact=False).first.click()
    for button, ending, magic in (("PDF", "pdf", b"%PDF"), ("CSV", "csv", b"Method,")):
        with page.expect_download() as download:
            page.get_by_role("button", name=button, exact=True).first.click()
        assert download.value.suggested_filename == f"slimscope-toy-passages-eval-16x2048-perplexity.{ending}"
        assert Path(download.value.path()).read_bytes().startswith(magic)


@pytest.mark.full
def test_dark_and_light_pages_have_charts_one_can_read(page, address):
    colors = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        settled(opened(page, f"{address}/?{TOY}"))
        label = page.locator(".js-plotly-plot .xtick text").first
        label.wait_for()
        colors[scheme] = label.evaluate("node => getComputedStyle(node).fill")
    assert colors == {"light": "rgb(31, 41, 51)", "dark": "rgb(230, 233, 237)"}
