"""Several processes at one queue at once, on each kind of database: one job for one run, one place and one claim.

A database of an earlier version, too."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from core.jobs.queue import Queue
from core.store.store import Store
from tests.core.queues import PlayedQueue, change, spec
from tests.databases import at_revision

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


INSERT = (
    "INSERT INTO jobs (spec, state, stage, done, total, detail, attempts, created, pid, process_created, cancel) "
    "VALUES (:spec, :state, 'prune', 1, 2, '', 1, :created, :pid, 1.0, :cancel)"
)


def test_running_jobs_of_an_earlier_version_are_queued_again(results_dir):
    states = [("queued", None, None), ("running", 7, None), ("running", 7, 5.0), ("done", 7, None)]
    with at_revision(results_dir / "local.db", "0003") as connection:
        for place, (state, pid, cancel) in enumerate(states):
            run = spec(f"run {place}").model_dump_json()
            row = {"spec": run, "state": state, "created": float(place), "pid": pid, "cancel": cancel}
            connection.execute(text(INSERT), row)
    queue = Queue(Store())
    found = [(job.state, job.token, job.finished) for job in reversed(queue.jobs())]
    assert found == [("queued", None, None)] * 2 + [("cancelled", None, 5.0), ("done", None, None)]
    assert [job.spec for job in queue.active()] == [spec("run 0"), spec("run 1")]
    assert queue.submit(spec("run 1")) == 2
