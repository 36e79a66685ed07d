"""The Run page in a real browser: a job of another process, and what stays in sight."""

import pytest
from playwright.sync_api import expect

from core.jobs.queue import Queue
from core.request.complete import complete
from core.store.store import Store
from tests.e2e.actions import opened, settled

pytestmark = [pytest.mark.e2e, pytest.mark.full]
LONG = "chain=slimllm%400.25%2Blora%2Cminutes%3D5&run_tasks=PIQA&run_limit=20&run_latency=true&run_windows=4&run_seed=3"


def test_an_idle_page_shows_a_job_that_something_else_queues(page, address, results, computing):
    settled(opened(page, f"{address}/run"))
    page.get_by_text("No job is waiting").wait_for()
    queue = Queue(Store(f"sqlite:///{results / 'local.db'}"))
    job_id = queue.submit(complete("smollm2-135m", "magnitude@0.34"))
    page.locator(".st-key-run_start_card").get_by_text("Waiting for another run on this machine").wait_for()
    queue.cancel(job_id)
    page.get_by_text("cancelled").first.wait_for()


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
