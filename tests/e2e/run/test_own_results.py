"""A newcomer's first run stands beside the bundled curves."""

import time

import pytest
from playwright.sync_api import expect
from sqlalchemy import update

from core.engine.variants import describe
from core.jobs.queue import Queue
from core.store.store import Store
from core.store.tables import jobs
from tests.core.factories import make, perplexity
from tests.e2e.actions import enter, opened, settled

pytestmark = pytest.mark.e2e


def ended(results) -> None:
    """Stop the only job, which waits for its turn to compute, and store made-up numbers as those that it measured."""
    store = Store(f"sqlite:///{results / 'local.db'}")
    queue = Queue(store)
    (job,) = queue.active()
    queue.cancel(job.id)
    while queue.active():
        time.sleep(0.1)
    number = perplexity(24.0, job.spec.perplexity[0].corpus)
    store.put(make(number).model_copy(update={"variant": describe(job.spec.variant)}))
    with store.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(state="done", error=None))


def test_a_run_is_on_the_bundled_chart_after_four_actions(page, address, computing, results):
    settled(opened(page, address))
    page.get_by_role("link", name="Run", exact=False).first.click()  # 1
    chain = page.get_by_label("Chain of stages", exact=True).first
    chain.wait_for()
    settled(page)
    enter(chain, "ria@0.33")  # 2
    expect(page.get_by_role("combobox", name="Stage 1")).to_have_value("RIA · removes weights")
    settled(page)
    page.get_by_role("button", name="Start").click()  # 3
    page.locator("[class*=st-key-run_job_]").first.get_by_role("progressbar").wait_for()
    ended(results)
    page.reload()  # in place of the minutes of a run
    page.get_by_role("link", name="Show on Explore").click()  # 4
    page.get_by_role("button", name="Get the file").wait_for()
    chart = page.locator(".js-plotly-plot").first
    chart.locator(".scatterlayer .point").first.wait_for()
    settled(page)
    drawn = chart.evaluate(
        "chart => chart.calcdata.filter(one => one[0].trace.customdata).map("
        "one => [one[0].trace.name, one.map(point => point.x)])"
    )
    assert any(name.startswith("RIA") and 0.33 in places for name, places in drawn)
    assert any(name.startswith("Wanda") and len(places) > 2 for name, places in drawn)
