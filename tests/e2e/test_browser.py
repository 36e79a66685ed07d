"""The dashboard in a real browser."""

import itertools
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import TimeoutError, expect

from core.amount import Ratio
from core.jobs.queue import Queue
from core.registry import STAGES
from core.request.stages import build_run, build_stage
from core.store.store import Store

pytestmark = pytest.mark.e2e
TOY = "explore_model=toy"


def opened(page, url: str):
    page.goto(url)
    page.locator("h1").wait_for()
    return page


def settled(page):
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    assert page.locator("[data-testid=stException]").count() == 0
    return page


def click_mark(page, place, address):
    """Click a mark of a chart, whose `place()` in the window is (x, y), until the address has this text.

    plotly ignores a click on a mark under which it has not seen the pointer yet.
    """
    label = page.locator(".hoverlayer .hovertext").first
    for _ in range(6):
        page.mouse.move(0, 0)
        page.mouse.move(*place())
        with suppress(TimeoutError):
            label.wait_for(timeout=5_000)
        page.mouse.click(*place())
        with suppress(TimeoutError):
            page.wait_for_url(f"**{address}**", timeout=10_000)
            return
    raise AssertionError(
        f"No click led to an address with {address!r}, but to {page.url}; under it: {label.all_text_contents()}"
    )


def center(mark):
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def pick(page, field, typed, option):
    """Type into a field with a list and choose an option; again where a new run of the page drops what was typed."""
    for _ in range(6):
        settled(page).get_by_role("combobox", name=field).click()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type(typed)
        with suppress(TimeoutError):
            page.get_by_role("option", name=option, exact=True).click(timeout=10_000)
            return
        page.keyboard.press("Escape")
    raise AssertionError(f"{field} never offered {option!r}.")


PAGES = [("", "Explore"), ("inside", "Inside"), ("run", "Run"), ("autopilot", "Autopilot")]
PAGES += [("published", "Published"), ("methods", "Methods")]


@pytest.mark.parametrize("path", [path for path, _ in PAGES])
def test_no_request_leaves_the_machine(page, address, path):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    settled(opened(page, f"{address}/{path}"))
    page.wait_for_function("document.querySelector('link[rel~=icon]').href.startsWith('data:image/svg')")
    assert any(url.startswith(address) for url in asked)
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


@pytest.mark.parametrize(("path", "title"), PAGES)
@pytest.mark.parametrize("width", [1280, 400])
def test_pages_open_and_fit(page, address, path, title, width):
    page.set_viewport_size({"width": width, "height": 900})
    settled(opened(page, f"{address}/{path}?{TOY}"))
    assert page.locator("h1").inner_text() == title
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0


@pytest.mark.matrix(width=None)
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


def test_a_story_plays_after_one_action_and_leads_through_its_steps(page, address):
    settled(opened(page, address))
    actions = 0

    def click(name):
        nonlocal actions
        page.get_by_role("link", name=name, exact=True).click()
        actions += 1

    click("The cliff at 50 %")
    story = page.locator(".st-key-story")
    story.get_by_text("Step 1 of 4").wait_for()
    assert actions == 1 and story.get_by_text("Magnitude pruning removes the smallest weights").is_visible()
    page.locator(".js-plotly-plot .annotation, .js-plotly-plot text", has_text="Magnitude").first.wait_for()
    assert "explore_story=cliff" in page.url and "alone" not in settled(page).url
    click("Next")
    story.get_by_text("Step 2 of 4").wait_for()
    settled(page)
    click("Back")
    story.get_by_text("Step 1 of 4").wait_for()
    assert "explore_step=1" in settled(page).url
    story.get_by_role("button", name="Close").click()
    page.get_by_role("link", name="On another model", exact=True).wait_for()
    assert "explore_story" not in settled(page).url


@pytest.mark.full
def test_a_story_leads_to_its_chart_and_back_to_what_is_default(page, address):
    settled(opened(page, address))
    page.get_by_role("link", name="Which method should I use?").click()
    page.wait_for_function("location.search.includes('explore_mode=Trade-off')")
    settled(page).get_by_role("link", name="Next", exact=True).click()
    page.get_by_text("with at most 130 MB packed").wait_for()
    settled(page).get_by_role("link", name="Next story: The cliff at 50 %").click()
    page.wait_for_function("!location.search.includes('explore_mode')")
    assert "explore_methods=Magnitude" in page.url and "alone" not in settled(page).url
    settled(page).get_by_role("button", name="Close").click()
    page.get_by_role("link", name="On another model").click()
    page.wait_for_function("location.search.includes('explore_mode=Several')")
    page.locator(".js-plotly-plot", has_text="SparseGPT,smollm2-135m").wait_for()
    settled(page).get_by_text("packed size", exact=True).click()
    page.locator(".js-plotly-plot", has_text="Packed size relative to dense").wait_for()
    assert "explore_against=packed" in settled(page).url


def test_explore_draws_the_curve_and_a_click_opens_the_point(page, address):
    opened(page, f"{address}/?{TOY}")
    chart = page.locator(".js-plotly-plot").first
    chart.locator(".scatterlayer .point").first.wait_for()
    settled(page)
    lines = chart.locator(".scatterlayer .trace", has=page.locator(".point:nth-child(7)"))  # seven ratios
    click_mark(page, lambda: center(lines.first.locator(".point").nth(3)), "explore_point=")
    page.get_by_text("slimscope run toy").wait_for()
    assert "explore_at=40" in page.url
    page.get_by_role("dialog").get_by_text("40 %").first.wait_for()
    faded = "points => points.filter(point => getComputedStyle(point).opacity < 1).length"
    assert chart.locator(".scatterlayer .point").evaluate_all(faded) == 0
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.wait_for_function("!location.search.includes('explore_point')")
    page.get_by_text("at a pruning ratio of 40 %").wait_for()


@pytest.mark.full
def test_labels_stay_inside_the_chart_on_a_phone(page, address):
    page.set_viewport_size({"width": 400, "height": 850})
    opened(page, f"{address}/?{TOY}")
    page.locator(".js-plotly-plot .xtick text").first.wait_for()
    settled(page)
    for index in range(page.locator(".js-plotly-plot").count()):
        chart = page.locator(".js-plotly-plot").nth(index)
        outer = chart.bounding_box()
        for text in chart.locator("text:visible").all():
            box = text.bounding_box()
            if box and box["width"]:
                assert box["x"] >= outer["x"] - 1, text.inner_text()
                assert box["x"] + box["width"] <= outer["x"] + outer["width"] + 1, text.text_content()


@pytest.mark.full
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("axis", ["pruning ratio", "packed size"])
def test_no_label_lies_on_another(page, address, axis, width):
    page.set_viewport_size({"width": width, "height": 900})
    opened(page, f"{address}/?{TOY}&explore_x={axis.replace(' ', '+')}")
    chart = page.locator(".js-plotly-plot").first
    chart.locator(".textpoint text").first.wait_for()
    settled(page)
    boxes = [text.bounding_box() for text in chart.locator(".textpoint text").all()]
    patterns = 0 if axis == "pruning ratio" else 6  # along ratios, the axis names them
    assert len(boxes) == patterns + 6  # and a diverged point, the dense line, three names and the chosen amount
    for one, other in itertools.combinations(boxes, 2):
        across = one["x"] < other["x"] + other["width"] and other["x"] < one["x"] + one["width"]
        down = one["y"] < other["y"] + other["height"] and other["y"] < one["y"] + one["height"]
        assert not (across and down), (one, other)


@pytest.mark.full
def test_papers_models_lie_over_each_other_and_against_their_sizes(page, address):
    opened(page, f"{address}/?explore_model=opt-125m&explore_mode=Several+models")
    page.locator(".js-plotly-plot .textpoint text").first.wait_for()
    settled(page)
    page.locator(".st-key-explore_models_shown").get_by_text("opt-175b").click()
    drawn = "name => document.querySelector('.js-plotly-plot').textContent.includes(name)"
    page.wait_for_function(drawn, arg="opt-175b")
    page.get_by_text("model size").click()
    page.wait_for_function(drawn, arg="175B")
    assert "explore_against=model" in settled(page).url and "explore_models_shown=opt-175b" in page.url


@pytest.mark.full
@pytest.mark.parametrize("width", [1280, 400])
def test_a_law_says_how_much_may_be_removed_and_a_link_restores_it(page, address, width):
    page.set_viewport_size({"width": width, "height": 900})
    settled(opened(page, f"{address}/?{TOY}&explore_mode=Trade-off&explore_law_of=SparseGPT"))
    chart = page.locator(".js-plotly-plot").nth(1)
    chart.scroll_into_view_if_needed()
    expect(chart.locator(".legendtext", has_text="predicts best")).to_have_count(1)
    page.get_by_text("To keep 90 % of 1 / ln(perplexity)").wait_for()
    page.get_by_text("which predicts best here").wait_for()
    page.get_by_role("slider", name="Quality to keep (%)").press("ArrowLeft")
    page.get_by_text("To keep 89 % of 1 / ln(perplexity)").wait_for()
    page.wait_for_function("location.search.includes('explore_law_keep=89')")
    settled(page).reload()
    page.get_by_text("To keep 89 % of 1 / ln(perplexity)").wait_for()
    settled(page).get_by_text("Findings of the papers").click()
    page.get_by_role("link", name="P2 Law").wait_for()
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0


@pytest.mark.full
def test_a_series_that_is_not_chosen_goes_from_chart_table_and_address(page, address):
    opened(page, f"{address}/?{TOY}")
    chart = page.locator(".js-plotly-plot").first
    labels = chart.locator(".textpoint text")
    labels.first.wait_for()
    settled(page)
    ticks = chart.locator(".xtick text")
    assert {"3.4e5", "Magnitude"} <= set(labels.all_text_contents())
    assert {"2:4", "4:8"} <= set(ticks.all_text_contents())
    page.locator(".st-key-explore_series").get_by_text("Magnitude").click()
    page.wait_for_function("() => !document.querySelector('.js-plotly-plot').textContent.includes('3.4e5')")
    settled(page)
    assert "Wanda" in labels.all_text_contents() and "Magnitude" not in labels.all_text_contents()
    assert ticks.all_text_contents().count("2:4") == 1
    assert "explore_series=Wanda" in page.url and "explore_series=Magnitude" not in page.url
    assert page.locator(".plotly-notifier .notifier-note").count() == 0


@pytest.mark.parametrize(("button", "ending", "magic"), [("PDF", "pdf", b"%PDF"), ("CSV", "csv", b"Method,")])
def test_exports_download(page, address, button, ending, magic):
    opened(page, f"{address}/?{TOY}")
    page.locator(".js-plotly-plot").first.wait_for()
    settled(page)
    page.get_by_role("button", name="Export", exact=False).first.click()
    with page.expect_download(timeout=60_000) as download:
        page.get_by_role("button", name=button, exact=True).first.click()
    assert download.value.suggested_filename == f"slimscope-toy-passages-eval-16x2048-perplexity.{ending}"
    assert Path(download.value.path()).read_bytes().startswith(magic)


@pytest.mark.full
def test_an_address_restores_the_view(page, address):
    opened(page, f"{address}/?{TOY}&explore_methods=SparseGPT&explore_at=30+%25&explore_x=packed+size")
    page.get_by_text("At a pruning ratio of 30 %").wait_for()
    settled(page)
    chart = page.locator(".js-plotly-plot").first
    assert chart.locator(".xtitle").text_content() == "Packed size (MB)"
    assert [text for text in chart.locator(".textpoint").all_text_contents() if "Magnitude" in text] == []


@pytest.mark.full
def test_dark_and_light_pages_have_charts_one_can_read(browser, address):
    colors = {}
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        tab = opened(context.new_page(), f"{address}/?{TOY}")
        label = tab.locator(".js-plotly-plot .xtick text").first
        label.wait_for()
        settled(tab)
        label.wait_for()
        colors[scheme] = label.evaluate("node => getComputedStyle(node).fill")
        context.close()
    assert colors == {"light": "rgb(31, 41, 51)", "dark": "rgb(230, 233, 237)"}


def test_a_mistake_in_the_form_is_one_sentence_and_stays_typed(page, address):
    settled(opened(page, f"{address}/run"))
    page.get_by_text("Parameters", exact=True).click()
    layers = page.get_by_label("Layers", exact=True)
    layers.fill("99:100")
    layers.press("Enter")
    alert = page.get_by_role("alert").filter(has_text="99:100")
    alert.wait_for()
    assert "\n" not in alert.inner_text().strip()
    assert layers.input_value() == "99:100"
    page.locator("button:disabled", has_text="Start").wait_for()


def test_the_chain_and_its_cards_follow_each_other(page, address):
    settled(opened(page, f"{address}/run?chain=magnitude%400.5%2Blora"))
    chain = page.get_by_label("Chain of stages", exact=True).first  # one that was written anew may stand beside it
    expect(chain).to_have_value("magnitude@0.5+lora")
    second = page.locator(".st-key-run_card1_box")
    second.get_by_text("Parameters", exact=True).click()
    page.get_by_label("Maximum minutes", exact=True).fill("5")
    second.get_by_role("button", name="arrow_upward").click()  # and so leaves the field
    page.wait_for_url("**/run?chain=lora%2Cminutes%3D5%2Bmagnitude%400.5")
    settled(page)
    expect(chain).to_have_value("lora,minutes=5+magnitude@0.5")
    assert page.get_by_label("Maximum minutes", exact=True).input_value() == "5"  # open still, as it has moved
    chain.fill("wanda@0.5 lora,minutes=6+ria@0.7")
    chain.press("Enter")
    third = page.get_by_role("combobox", name="Stage 3")
    expect(third).to_have_value("RIA · removes weights")
    expect(chain).to_have_value("wanda@0.5+lora,minutes=6+ria@0.7")
    page.reload()
    expect(third).to_have_value("RIA · removes weights")
    expect(chain).to_have_value("wanda@0.5+lora,minutes=6+ria@0.7")
    chain.fill("wanda@0.5+lorx")
    chain.press("Enter")
    page.get_by_role("alert").filter(has_text="Character 11: Unknown stage 'lorx'").wait_for()
    assert chain.input_value() == "wanda@0.5+lorx"
    assert page.locator("[class*=st-key-run_card][class*=_box]").count() == 3


@pytest.mark.full
def test_a_job_that_is_tried_again_shows_how_it_ends(page, address, results):
    queue = Queue(Store(f"sqlite:///{results / 'local.db'}"))
    first = queue.submit(build_run("toy", "gone", [build_stage("magnitude", Ratio(0.5))]))
    queue.cancel(first)
    settled(opened(page, f"{address}/run"))
    page.locator(f".st-key-run_job_{first}").get_by_role("button", name="Try again").click()
    again = page.locator(f".st-key-run_job_{first + 1}")
    again.get_by_role("alert").filter(has_text="toy").wait_for(timeout=90_000)


@pytest.mark.full
def test_a_folder_that_a_link_names_waits_for_the_button(page, address, tmp_path):
    (tmp_path / "config.json").write_text("[]")
    settled(opened(page, f"{address}/run?run_model={tmp_path}"))
    button = page.get_by_role("button", name="Read this folder")
    button.wait_for()
    assert page.get_by_text("contains no JSON object").count() == 0
    page.get_by_role("spinbutton", name="Cumulative ratio after this stage").fill("0.3")
    page.keyboard.press("Enter")
    settled(page)
    button.click()
    page.get_by_text("contains no JSON object").wait_for()
    button.wait_for(state="detached")
