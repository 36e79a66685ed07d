"""Users' tasks on Explore, with the actions that each takes after the dashboard is open."""

import pytest

from core.jobs.queue import Queue
from core.store.store import Store
from tests.e2e.actions import opened, quiet, run_again, settled

pytestmark = [pytest.mark.e2e, pytest.mark.full]


def test_a_file_of_at_most_100_mb_takes_three_actions(page, address, computing, results):
    settled(opened(page, address))
    with run_again(page):
        page.get_by_role("radio", name="By size").click()  # 1; the limit is 90 MB, a third of the dense size
    page.get_by_role("button", name="Get the file").click()  # 2
    save = page.get_by_role("button", name="Save", exact=True)
    save.wait_for()
    weights = page.get_by_role("combobox", name="Weights")
    size = float(weights.input_value().partition(" MB")[0])
    quiet(page)
    save.click()  # 3
    page.get_by_text("Queued").wait_for()
    queue = Queue(Store(f"sqlite:///{results / 'local.db'}"))
    (job,) = queue.active()
    queue.cancel(job.id)
    assert job.spec.format == "gguf" and size <= 100
