"""The actions of a visitor in a browser, and the conditions that they wait for."""

from collections.abc import Iterator
from contextlib import contextmanager

TOY = "explore_model=toy"
PANEL = ".st-key-explore_panel"
STATE = "data-test-script-state"
COUNT_RUNS = f"""
window.runs = window.changed = 0;
new MutationObserver(changes => {{
  window.runs += changes.filter(one => one.target.getAttribute('{STATE}') === 'notRunning').length;
  window.changed = performance.now();
}}).observe(document, {{attributes: true, attributeFilter: ['{STATE}'], subtree: true}});
"""  # the finished runs of a page since it was opened, and when the last began or ended
QUIET = "performance.now() - window.changed > 500"  # ms, as some pages run once more by themselves
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def opened(page, url: str):
    page.goto(url)
    page.locator("h1").wait_for()
    return page


def settled(page):
    page.locator(f"[data-testid=stApp][{STATE}=notRunning]").wait_for()
    assert page.locator("[data-testid=stException]").count() == 0
    return page


def quiet(page):
    settled(page).wait_for_function(QUIET)
    return settled(page)


@contextmanager
def run_again(page) -> Iterator[None]:
    """Wait until what is done within has run the page again."""
    before = quiet(page).evaluate("window.runs")
    yield
    page.wait_for_function(f"window.runs > {before}")
    settled(page)


def click_mark(page, place, address):
    """Click a mark of a chart, whose `place()` in the window is (x, y), and wait for an address with this text.

    plotly ignores a click on a mark under which it has not seen the pointer yet, so the label of the mark comes first.
    """
    quiet(page)
    spot = None
    while (found := place()) != spot:  # until the chart has its size, and nothing scrolls
        spot = found
    page.mouse.move(0, 0)
    page.mouse.move(*spot)
    page.locator(".hoverlayer .hovertext").first.wait_for()
    page.mouse.click(*spot)
    page.wait_for_url(f"**{address}**")


def center(mark):
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def pick(page, field, typed, option):
    """Type into a field with a list and choose an option."""
    with run_again(page):
        box = page.get_by_role("combobox", name=field)
        box.click()
        box.fill(typed)
        page.get_by_role("option", name=option, exact=True).click()


def enter(field, value):
    """Enter a value into a field, which runs the page again."""
    with run_again(field.page):
        field.fill(value)
        field.press("Enter")
