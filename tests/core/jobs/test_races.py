"""Several processes at one queue at once, on each kind of database: one job for one run, one place for one job."""

import os
import subprocess
import sys

import pytest

from core import paths
from core.jobs.queue import Queue
from core.store.store import Store
from tests.core.queues import change, spec

pytestmark = pytest.mark.usefixtures("database", "quick_supervisor")

SUBMITTER = """
import sys
from core.jobs.queue import Queue
from core.store.store import Store
from tests.core.queues import spec
queue = Queue(Store())
print("ready", flush=True)
sys.stdin.readline()
print(*[queue.submit(spec(f"run {number}")) for number in range(5)])
"""

MOVER = """
import sys
from core.jobs.queue import Queue
from core.store.store import Store
queue, first = Queue(Store()), int(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for turn in range(15):
    queue.move(1 + (first + turn) % 6, later=bool((first + turn) % 2))
"""


def at_once(program, count):
    """Run a program in several processes that wait for each other before they begin; return their last lines."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = (sys.executable, "-c", program)
    processes = [subprocess.Popen([*command, str(i)], cwd=paths.PROJECT, **pipes) for i in range(count)]
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    ended = [process.communicate() for process in processes]
    assert [errors for _, errors in ended] == [""] * count
    return [output for output, _ in ended]


def test_concurrent_submissions_of_a_run_make_one_job():
    queue = Queue(Store())
    answers = at_once(SUBMITTER, 6)
    jobs = queue.jobs()
    assert len(jobs) == 5 and len({job.spec.variant.key for job in jobs}) == 5
    assert len(set(answers)) == 1
    change(queue.store, jobs[0].id, state="done")
    assert queue.submit(jobs[0].spec) == jobs[0].id + 1  # an ended job does not block a new one


def test_concurrent_moves_keep_positions_unique():
    queue = Queue(Store())
    queue.submit_all([spec(f"run {number}") for number in range(6)])
    places = {job.created for job in queue.jobs()}
    at_once(MOVER, 5)
    assert {job.created for job in queue.jobs()} == places and len(places) == 6


def test_positions_are_unique_if_the_clock_is_set_back():
    queue = Queue(Store())
    first = queue.submit(spec("first"))
    change(queue.store, first, created=queue.job(first).created + 3600)
    second, third = queue.submit_all([spec("second"), spec("third")])
    assert [job.id for job in queue.active()] == [first, second, third]
    queue.move(third, later=False)
    assert [job.id for job in queue.active()] == [first, third, second]
    assert queue.job(first).host == os.uname().nodename
