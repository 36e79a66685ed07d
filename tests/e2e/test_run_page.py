"""The Run page in a real browser: a grid queued, reordered and cancelled; what stays in sight; what a link holds."""

import pytest
from filelock import FileLock
from playwright.sync_api import expect

from core.jobs.queue import Queue
from core.request.complete import complete
from core.store.store import Store
from tests.e2e.test_browser import opened, settled

pytestmark = pytest.mark.e2e
GRID = "run_mode=Grid&run_chains=magnitude%40&run_windows=3&" + "&".join(
    f"run_amounts=0.3{place}" for place in (1, 2, 3)
)
LONG = "chain=slimllm%400.25%2Blora%2Cminutes%3D5&run_tasks=PIQA&run_limit=20&run_latency=true&run_windows=4&run_seed=3"


@pytest.fixture
def computing(results):
    """Another process seems to compute on the server's machine, so that no job does more than wait."""
    with FileLock(results / "compute.lock"):
        yield


def test_a_grid_is_queued_reordered_and_cancelled(page, address, computing):
    settled(opened(page, f"{address}/run?{GRID}"))
    page.get_by_text("4 runs including the dense model: 4 to start").wait_for()
    page.get_by_role("button", name="Start").click()
    card = page.locator(".st-key-run_start_card")
    card.get_by_text("Waiting for another run on this machine").wait_for()
    rows = page.locator("[class*=st-key-run_waits_] li")
    expect(rows).to_have_text([f"Magnitude, {share} %, smollm2-135m" for share in (31, 32, 33)])
    expect(page.get_by_text("3 jobs waiting · All 4 jobs: about")).to_be_visible()
    last = page.locator("[class*='st-key-run_waits_']", has_text="33 %").first
    last.get_by_role("button", name="arrow_upward").click()
    expect(rows).to_have_text([f"Magnitude, {share} %, smollm2-135m" for share in (31, 33, 32)])
    page.get_by_role("button", name="Cancel all").click()
    page.get_by_text("Cancelled 4 jobs.").wait_for()
    expect(rows).to_have_count(0)
    card.get_by_text("cancelled").wait_for(timeout=60_000)
    expect(page.get_by_role("button", name="Cancel all")).to_have_count(0)
    expect(card.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(card.get_by_role("button", name="Start")).to_be_enabled()


def test_an_idle_page_shows_a_job_that_something_else_queues(page, address, results, computing):
    settled(opened(page, f"{address}/run"))
    page.get_by_text("No job is waiting").wait_for()
    queue = Queue(Store(f"sqlite:///{results / 'local.db'}"))
    job_id = queue.submit(complete("smollm2-135m", "magnitude@0.34"))
    page.locator(".st-key-run_start_card").get_by_text("Waiting for another run on this machine").wait_for()
    queue.cancel(job_id)
    page.get_by_text("cancelled").first.wait_for(timeout=60_000)


@pytest.mark.full
@pytest.mark.parametrize("width", [1280, 400])
def test_start_and_estimate_stay_in_sight_wherever_one_is_in_the_form(page, address, width):
    page.set_viewport_size({"width": width, "height": 900})
    settled(opened(page, f"{address}/run?{LONG}"))
    start = page.get_by_role("button", name="Start")
    takes = page.get_by_text("GB of memory")
    for field in ("Model", "Stage 2", "Perplexity on"):
        page.get_by_role("combobox", name=field).scroll_into_view_if_needed()
        expect(start).to_be_in_viewport(ratio=1)
        expect(takes).to_be_in_viewport(ratio=1)
    top = page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop")
    assert top > 300


@pytest.mark.full
def test_a_link_restores_what_was_entered(page, address, browser):
    settled(opened(page, f"{address}/run?{LONG}"))
    windows = page.get_by_label("First windows", exact=True)
    expect(windows).to_have_value("4")
    windows.fill("0")
    windows.press("Enter")
    page.wait_for_url("**run_windows=0**")
    page.get_by_text("Advanced: precision, device, memory, threads").click()
    device = page.get_by_role("combobox", name="Device")
    device.fill("cuda:1")
    device.press("Enter")
    page.wait_for_url("**run_device=cuda**")
    settled(page)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    settled(opened(tab, page.url))
    expect(tab.get_by_label("First windows", exact=True)).to_have_value("0")
    expect(tab.get_by_label("First documents of each task", exact=True)).to_have_value("20")
    expect(tab.get_by_label("Seed", exact=True)).to_have_value("3")
    expect(tab.get_by_label("Chain of stages", exact=True).first).to_have_value("slimllm@0.25+lora,minutes=5")
    tab.get_by_text("Advanced: precision, device, memory, threads").click()
    expect(tab.get_by_role("combobox", name="Device")).to_have_value("cuda:1")
    context.close()
