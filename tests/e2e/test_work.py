"""A run, a search and a question in a real browser: queued, cancelled, and the same after a reload."""

import psutil
import pytest
from filelock import FileLock
from playwright.sync_api import expect

from core.engine.runs import run
from core.jobs.queue import Queue
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Perplexity
from core.store.store import Store
from tests.core.queues import process_of, until
from tests.core.search.texts import write_wide
from tests.core.tiny_folder import write_tiny_folder
from tests.e2e.actions import enter, opened, settled
from tests.e2e.browser import dashboard

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(600)]
ASKED = "inside_tab=Answers&inside_model=tiny&inside_answers_variants=magnitude%400.5&inside_answers_tokens=512"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Two small models, of one of which a variant is in the cache; jobs only wait, as another process computes."""
    write_tiny_folder(tmp_path)
    write_wide(tmp_path)
    monkeypatch.setenv("SLIMSCOPE_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SLIMSCOPE_DB", raising=False)
    run(measured(tmp_path, "magnitude@0.5"), Store())
    return tmp_path


def measured(place, chain):
    settings = RunSettings(perplexity=[Perplexity.parse(f"{place / 'text.txt'}@32:2")])
    return complete(str(place / "tiny"), chain, settings)


def test_work_of_each_kind_is_cancelled_and_stays_so(page, place):
    queue = Queue(Store())
    with dashboard(place / "results") as running, FileLock(place / "results" / "compute.lock") as others:
        address = running.address
        settled(opened(page, f"{address}/run?run_model=smollm2-135m&chain=magnitude%400.34"))
        page.get_by_role("button", name="Start", exact=True).click()
        until(lambda: queue.active())
        cancelled = queue.active()[0].id
        queue.submit(measured(place, "magnitude@0.3"))
        settled(opened(page, f"{address}/autopilot"))
        enter(page.get_by_label("Model", exact=True), str(place / "wide"))
        enter(page.get_by_label("At most (MB)", exact=True), "0.07")
        page.get_by_role("button", name="Search", exact=True).click()
        until(lambda: queue.works(["search"], ["running"]))
        settled(opened(page, f"{address}/inside?{ASKED}"))
        page.get_by_role("button", name="Generate answers").click()
        until(lambda: queue.works(["question"]))
        (asked,) = queue.works(["question"])
        answering = psutil.Process(process_of(asked))
        answering.suspend()  # as a slow model
        assert queue.works(["question"], ["running"])  # it waits for no run
        settled(opened(page, f"{address}/run"))
        page.locator(f".st-key-run_cancel_{cancelled} button").click()
        for kind, title in (("search", "wide below 0.07 MB"), ("question", "tiny: dense, magnitude@0.5")):
            row = page.locator(f"[class*=st-key-run_{kind}_]")
            expect(row).to_contain_text(title)
            row.get_by_role("button", name="Cancel").click()
        answering.resume()
        until(lambda: sorted(work.state for work in queue.works()) == ["cancelled"] * 3 + ["running"])
        for _ in range(2):
            page.reload()
            expect(page.locator("[class*=st-key-run_job_]").first).to_contain_text("Waiting for another run")
            page.get_by_text("Ended jobs").click()
            ended = page.locator("[data-testid=stExpanderDetails]").filter(has_text="Question")
            expect(ended.get_by_text("cancelled")).to_have_count(3)
        others.release()
        until(lambda: not queue.active())
        assert [job.state for job in queue.jobs()] == ["done", "cancelled"]
        expect(page.get_by_text("done").first).to_be_visible()
