"""Several processes at one queue at once, on each kind of database: one job for one run, one place and one claim."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.jobs.queue import Queue
from core.store.store import Store
from tests.core.queues import PlayedQueue, change, spec

pytestmark = pytest.mark.usefixtures("quick_supervisor")


def at_once(work, queues):
    """Call `work(queue)` for each queue, in threads that wait for each other before they begin."""
    together = threading.Barrier(len(queues))

    def begin(queue):
        together.wait()
        return work(queue)

    with ThreadPoolExecutor(len(queues)) as threads:
        return list(threads.map(begin, queues))


def test_concurrent_submissions_of_a_run_make_one_job(database):
    queues = [PlayedQueue(Store()) for _ in range(4)]
    asked = [spec(f"run {number}") for number in range(25)]
    answers = at_once(lambda queue: [queue.submit(one) for one in asked], queues)
    jobs = queues[0].jobs()
    assert len(jobs) == 25 and {job.spec.variant.key for job in jobs} == {one.variant.key for one in asked}
    assert answers == [answers[0]] * 4
    change(queues[0].store, jobs[0].id, state="done")
    assert queues[1].submit(jobs[0].spec) == jobs[0].id + 1  # an ended job does not block a new one


@pytest.mark.postgres
def test_one_of_two_supervisors_claims_a_job_on_postgresql(postgres_server, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_DB", postgres_server.new_database())
    check_one_claim()


def test_one_of_two_supervisors_claims_a_job():
    check_one_claim()


def check_one_claim():
    queues = [PlayedQueue(Store()) for _ in range(2)]
    job_id = queues[0].submit(spec("one"))
    rows = [row for row in at_once(lambda queue: queue.supervisor._claim(job_id), queues) if row]
    assert [row.token for row in rows] == [queues[0].job(job_id).token] and queues[1].job(job_id).attempts == 1


def test_positions_are_unique_if_the_clock_is_set_back(database):
    queue = Queue(Store())
    first = queue.submit(spec("first"))
    change(queue.store, first, created=queue.job(first).created + 3600)
    second, third = queue.submit_all([spec("second"), spec("third")])
    assert [job.id for job in queue.active()] == [first, second, third]
    queue.move(third, later=False)
    assert [job.id for job in queue.active()] == [first, third, second]
    assert queue.job(first).host == os.uname().nodename
