"""Back and Forward in a real browser: each step of a visitor is one entry, and shows the state of its address."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.e2e.actions import PANEL, TOY, opened, pick, settled

pytestmark = pytest.mark.e2e
AT_50, AT_30 = (re.compile(f"^At {ratio} % pruning, ") for ratio in (50, 30))  # headings
FITS = "No variant of toy fits in 90 MB"
IN_90 = f"/?explore_mode=By+size&{TOY}&explore_limit_packed_mb=90"
RUN = "/run?chain=wanda%400.45"
CLIFF = "/?explore_methods=Magnitude&explore_series=Magnitude&explore_others=false&explore_at=30+%25"
CLIFF += "&explore_story=cliff&explore_step=1"


def choose(page, field: str, text: str):
    settled(page).locator(f".st-key-{field}").get_by_text(text, exact=True).click()


def follow(page, name: str):
    settled(page).get_by_role("link", name=name).first.click()


def step(page, address: str, heading: str | re.Pattern, **chosen: str):
    """Wait for an address, a heading and the chosen options of fields; return a function that waits for them again.

    The address is the whole path and query: the browser removes the parameter of a field that is gone some time after
    the page shows its new state.
    """

    def reached(url: str) -> bool:
        _, _, path, query, _ = urlsplit(url)
        return (f"{path}?{query}" if query else path) == address

    def state():
        page.wait_for_url(reached)
        expect(page.locator("h1")).to_have_count(1)
        expect(page.locator("h1", has_text=heading)).to_have_count(1)
        settled(page)  # a view shows the fields of the one before until its run ends
        for field, text in chosen.items():
            expect(page.locator(f".st-key-{field} button[aria-checked=true]")).to_have_text(text)
        settled(page)
        assert reached(page.url)  # no correction came later

    state()
    return state


def test_back_and_forward_show_the_state_of_each_address(page, address):
    opened(page, f"{address}/?{TOY}")
    steps = [step(page, f"/?{TOY}", AT_50, explore_mode="By amount", explore_at="50 %")]
    choose(page, "explore_at", "30 %")
    steps.append(step(page, f"/?explore_at=30+%25&{TOY}", AT_30, explore_mode="By amount", explore_at="30 %"))
    choose(page, "explore_mode", "By size")
    steps.append(step(page, IN_90, FITS, explore_mode="By size"))
    follow(page, "Run")
    steps.append(step(page, RUN, "Run", run_mode="One run"))
    choose(page, "run_mode", "Grid")
    steps.append(step(page, f"{RUN}&run_mode=Grid", "Run", run_mode="Grid"))
    follow(page, "Methods")
    steps.append(step(page, "/methods", "Methods"))
    for again in reversed(steps[:-1]):
        page.go_back()
        again()
    for again in steps[1:]:
        page.go_forward()
        again()


@pytest.mark.full
def test_a_story_is_one_step_and_a_closed_panel_opens_again(page, address):
    opened(page, f"{address}/?{TOY}")
    first = step(page, f"/?{TOY}", AT_50, explore_mode="By amount", explore_at="50 %")
    follow(page, "Tour")
    tour = step(page, "/about", "About Slimscope")
    follow(page, "The cliff at 50 %")
    page.get_by_text("Step 1 of").wait_for()
    story = step(page, CLIFF, AT_30, explore_mode="By amount", explore_at="30 %")
    for again in (tour, first):
        page.go_back()
        again()
    pick(page, "Details of a point", "wanda@0.3", "Wanda 30 %, passages · wanda@0.3")
    title = page.locator(PANEL).get_by_text("Wanda 30 %, passages", exact=True)
    title.wait_for()
    page.wait_for_url(lambda url: "explore_point=Wanda" in url)
    page.go_back()
    title.wait_for(state="detached")
    first()
    page.go_forward()
    title.wait_for()
    assert "explore_story" not in page.url  # the story was a step forward that the point has replaced
    page.go_back()
    first()
    for name, again in (("Tour", tour), ("The cliff at 50 %", story)):
        follow(page, name)
        again()


@pytest.mark.full
def test_a_field_that_changed_its_place_stays_in_the_address(page, address):
    opened(page, f"{address}/?{TOY}")
    step(page, f"/?{TOY}", AT_50, explore_mode="By amount")
    choose(page, "explore_mode", "By size")
    step(page, IN_90, FITS, explore_mode="By size")
    page.locator(".st-key-explore_limit_packed_mb").wait_for()
    point = page.get_by_role("combobox", name="Details of a point")
    expect(point).to_have_count(1)  # that of the curve stays until the run of the page ends
    pick(page, "Details of a point", "wanda@0.3", "Wanda 30 %, passages · wanda@0.3")
    page.locator(PANEL).wait_for()
    page.wait_for_url(lambda url: "explore_point=Wanda" in url)
