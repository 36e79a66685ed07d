"""Jobs whose process or supervisor died, or is on another machine."""

import os
import signal
import subprocess
import sys
import threading
import time

import pandas
import psutil
import pytest

from core import paths
from core.errors import CancelledError, LostJobError
from core.jobs import worker
from core.jobs.executor import LocalExecutor
from core.jobs.queue import Queue
from core.jobs.worker import Worker
from tests.core.factories import KEY, make, perplexity
from tests.core.fake_worker import gate
from tests.core.queues import change, ended, process_of, running, spec, until

pytestmark = pytest.mark.usefixtures("quick_supervisor")
TOKEN = "0123456789abcdef0123456789abcdef"

DASHBOARD = """
import sys, time
from core.jobs.executor import LocalExecutor
from core.jobs.queue import Queue
from core.store.store import Store
store = Store()
Queue(store, LocalExecutor(store.url, (sys.executable, "-m", "tests.core.fake_worker"))).start()
time.sleep(600)
"""


@pytest.fixture
def dead_dashboard(make_queue):
    """A job whose supervisor was killed with its whole process, as (queue, job); the job itself still runs."""
    queue = make_queue()
    job_id = queue.submit(spec("wait"))
    dashboard = subprocess.Popen([sys.executable, "-c", DASHBOARD], cwd=paths.PROJECT)
    running(queue, job_id)
    dashboard.kill()
    dashboard.wait()
    job = queue.job(job_id)
    assert psutil.Process(process_of(job)).ppid() != os.getpid()
    return queue, job


def test_a_job_outlives_its_dashboard_and_is_adopted(dead_dashboard):
    queue, job = dead_dashboard
    queue.start()
    until(lambda: job.token in queue._supervisor.handles)
    gate().touch()
    after = ended(queue, job.id)
    assert (after.state, after.attempts, after.handle) == ("done", 1, job.handle)


def test_an_adopted_job_that_dies_fails(dead_dashboard):
    queue, job = dead_dashboard
    queue.start()
    until(lambda: job.token in queue._supervisor.handles)
    os.kill(process_of(job), signal.SIGKILL)
    after = ended(queue, job.id)
    assert (after.state, after.attempts) == ("failed", 1)
    assert after.error.startswith("The job's process ended")


def test_a_job_that_died_with_its_supervisor_runs_again(dead_dashboard):
    queue, job = dead_dashboard
    os.kill(process_of(job), signal.SIGKILL)
    until(lambda: LocalExecutor(queue.store.url).adopt(job.handle) is None)
    gate().touch()
    queue.start()
    after = ended(queue, job.id)
    assert (after.state, after.attempts) == ("done", 2)
    assert after.handle != job.handle and after.token != job.token


@pytest.fixture
def orphan(store, make_queue):
    """A function that adds a running job of a dead supervisor with this token, and the given columns."""
    queue = make_queue()

    def make(**values):
        job_id = queue.submit(spec("steps"))
        given = {"token": TOKEN, "started": time.time(), "lease": time.time() + 60, "attempts": 1}
        change(store, job_id, state="running", **(given | values))
        return queue, job_id

    return make


@pytest.fixture
def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return {"handle": f"{os.uname().nodename} {process.pid} {time.time()}"}


@pytest.mark.parametrize(("attempts", "state", "launches"), [(2, "done", 3), (3, "failed", 3)])
def test_an_interrupted_job_runs_again_at_most_twice(orphan, dead_process, attempts, state, launches):
    queue, job_id = orphan(attempts=attempts, **dead_process)
    queue.start()
    job = ended(queue, job_id)
    assert (job.state, job.attempts) == (state, launches)
    assert state == "done" or job.error.startswith("The job was interrupted 3 times")


def test_a_cancelled_interrupted_job_does_not_run_again(orphan, dead_process):
    queue, job_id = orphan(cancel=time.time(), **dead_process)
    queue.start()
    assert ended(queue, job_id).state == "cancelled"


def test_a_reused_pid_is_not_mistaken_for_the_job(orphan):
    earlier = psutil.Process().create_time() - 3600
    queue, job_id = orphan(handle=f"{os.uname().nodename} {os.getpid()} {earlier}")
    queue.start()
    job = ended(queue, job_id)
    assert (job.state, job.attempts) == ("done", 2)


@pytest.mark.parametrize("handle", [None, "elsewhere 7 1.0"])
def test_a_process_that_cannot_be_seen_is_lost_when_its_lease_ends(orphan, store, handle):
    queue, job_id = orphan(handle=handle)
    queue._supervisor.step()
    assert queue.job(job_id).state == "running"
    change(store, job_id, lease=time.time() - 1)
    queue.start()
    assert ended(queue, job_id).attempts == 2


def test_a_process_whose_job_has_another_attempt_is_killed(queue, store):
    job_id = queue.submit(spec("wait"))
    process = process_of(running(queue, job_id))
    change(store, job_id, token=TOKEN, handle="elsewhere 7 1.0", lease=time.time() + 60)
    until(lambda: not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE)
    assert (queue.job(job_id).state, queue.job(job_id).token) == ("running", TOKEN)


def test_a_process_that_lost_its_job_stops(orphan, store):
    _, job_id = orphan()
    mine = Worker(store, job_id, TOKEN)
    assert mine.take() == spec("steps")
    mine.progress("prune", 1, 2)
    mine.store.put(make(perplexity(20.0)))
    change(store, job_id, token="another")
    beating = threading.Thread(target=mine.beat)
    beating.start()
    until(lambda: mine._stop.is_set())
    with pytest.raises(CancelledError):
        mine.progress("prune", 2, 2)
    late, outcomes = make(perplexity(10.0)), pandas.DataFrame({"doc_id": [0], "perplexity": [1.0]})
    for write in (
        lambda: mine.store.put(late),
        lambda: mine.store.delete(KEY),
        lambda: mine.store.put_samples(KEY, late.measurements[0], outcomes),
    ):
        with pytest.raises(LostJobError):
            write()
    mine.end("done")
    beating.join()
    (kept,) = store.results()
    assert Queue(store).job(job_id).state == "running"  # what it writes no longer counts
    assert [row.value for row in kept.measurements] == [20.0] and store.samples(KEY, kept.measurements[0]) is None


LOST = """
import sys
from core.jobs import worker
worker.HEARTBEAT_SECONDS, worker.LAST_SECONDS = 0.05, 0.2
from tests.core.fake_worker import run
worker.main(*sys.argv[1:], run=run)
"""


def test_a_process_that_lost_its_job_and_does_not_stop_ends_by_force(orphan, store):
    _, job_id = orphan()
    change(store, job_id, spec=spec("deaf").model_dump_json())
    process = subprocess.Popen([sys.executable, "-c", LOST, str(job_id), TOKEN], cwd=paths.PROJECT)
    until(lambda: store.get(spec("deaf").variant.key))  # it reports and stores nothing more
    change(store, job_id, token="another")
    assert process.wait(60) == 1


def test_a_process_of_an_earlier_attempt_does_not_take_the_job(orphan, store):
    queue, job_id = orphan()
    assert Worker(store, job_id, "an earlier one").take() is None
    assert worker.work(store, job_id, "an earlier one", run=None) == 1
    assert queue.job(job_id).state == "running"


def test_progress_is_throttled_but_stages_are_written_at_once(orphan, store, monkeypatch):
    queue, job_id = orphan()
    mine = Worker(store, job_id, TOKEN)
    mine.take()
    monkeypatch.setattr(worker, "PROGRESS_SECONDS", 3600)
    mine.progress("prune", 1, 9, "a")
    mine.progress("prune", 2, 9, "b")
    assert (queue.job(job_id).done, queue.job(job_id).detail) == (1, "a")
    mine.progress("evaluate", 1, 5)
    assert (queue.job(job_id).stage, queue.job(job_id).total, queue.job(job_id).detail) == ("evaluate", 5, "")
