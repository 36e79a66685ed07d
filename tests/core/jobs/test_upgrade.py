"""Jobs in a database of an earlier version."""

from sqlalchemy import text

from core.jobs.queue import Queue
from core.store.store import Store
from tests.core.queues import spec
from tests.databases import at_revision

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
