"""What the tests of the queue share: jobs of a process that only pretends to compute, and waiting for them."""

import sys
import time

from sqlalchemy import update

from core.specs import RunSpec, Stage, VariantSpec
from core.store.tables import jobs

FAKE = (sys.executable, "-m", "tests.core.fake_worker")


def spec(kind):
    return RunSpec(variant=VariantSpec(model=kind, revision="r", stages=(Stage(method="dense"),)))


def until(condition, seconds=60):
    """Wait for a condition, long enough that only a hang fails."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def ended(queue, job_id):
    until(lambda: not queue.job(job_id).active)
    return queue.job(job_id)


def running(queue, job_id, stage="evaluate"):
    until(lambda: queue.job(job_id).stage == stage)
    return queue.job(job_id)


def process_of(job):
    """Return the id of a job's process."""
    return int(job.handle.split()[1])


def change(store, job_id, **values):
    with store.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
