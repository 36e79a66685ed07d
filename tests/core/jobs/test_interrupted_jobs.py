"""Jobs whose process or supervisor died, or is on another machine."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from core import paths
from core.errors import CancelledError
from core.jobs import supervisor, worker
from core.jobs.executor import LocalExecutor
from core.jobs.queue import Queue
from core.jobs.supervisor import Supervisor
from core.jobs.worker import Worker
from tests.core.fake_worker import gate
from tests.core.queues import FAKE, change, ended, running, spec, until

pytestmark = pytest.mark.usefixtures("quick_supervisor")


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
    assert job.supervisor.endswith(f"/{dashboard.pid}")
    assert psutil.pid_exists(job.pid)
    return queue, job


def test_a_job_outlives_its_dashboard_and_is_adopted(dead_dashboard):
    queue, job = dead_dashboard
    queue.start()
    until(lambda: job.id in queue._supervisor.handles)
    gate().touch()
    after = ended(queue, job.id)
    assert (after.state, after.attempts, after.pid) == ("done", 1, job.pid)


def test_an_adopted_job_that_dies_fails(dead_dashboard):
    queue, job = dead_dashboard
    queue.start()
    until(lambda: job.id in queue._supervisor.handles)
    os.kill(job.pid, signal.SIGKILL)
    after = ended(queue, job.id)
    assert (after.state, after.attempts) == ("failed", 1)
    assert after.error.startswith("The job's process ended")


def test_a_job_that_died_with_its_supervisor_runs_again(dead_dashboard):
    queue, job = dead_dashboard
    os.kill(job.pid, signal.SIGKILL)
    until(lambda: LocalExecutor(queue.store.url).adopt(job.pid, job.process_created) is None)
    gate().touch()
    queue.start()
    after = ended(queue, job.id)
    assert (after.state, after.attempts) == ("done", 2)
    assert after.pid != job.pid


@pytest.fixture
def orphan(store, make_queue):
    """A function that adds a running job of a dead supervisor, with the given columns."""
    queue = make_queue()

    def make(**values):
        job_id = queue.submit(spec("steps"))
        here = {"supervisor": f"{queue._supervisor.host}/1", "started": time.time(), "attempts": 1}
        change(store, job_id, state="running", **(here | values))
        return queue, job_id

    return make


@pytest.fixture
def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return {"pid": process.pid, "process_created": time.time()}


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
    queue, job_id = orphan(pid=os.getpid(), process_created=psutil.Process().create_time() - 3600)
    queue.start()
    job = ended(queue, job_id)
    assert (job.state, job.attempts) == ("done", 2)


def test_supervisor_waits_for_the_pid_of_a_new_process(orphan, monkeypatch):
    queue, job_id = orphan()
    watcher = queue._supervisor
    watcher.step()
    assert queue.job(job_id).state == "running"
    monkeypatch.setattr(supervisor, "START_SECONDS", -1.0)
    queue.start()
    assert ended(queue, job_id).attempts == 2


def test_a_remote_job_with_a_heartbeat_is_not_taken_over(orphan, store):
    queue, job_id = orphan(supervisor="elsewhere/7", pid=7, process_created=1.0, heartbeat=time.time())
    Supervisor(store, LocalExecutor(store.url, FAKE)).step()
    assert queue.job(job_id).state == "running"
    change(store, job_id, heartbeat=time.time() - 2 * supervisor.STALE_SECONDS)
    queue.start()
    assert ended(queue, job_id).attempts == 2


def test_a_process_that_lost_its_job_stops(orphan, store):
    _, job_id = orphan()
    mine = Worker(store, job_id)
    assert mine.take() == spec("steps")
    mine.progress("prune", 1, 2)
    change(store, job_id, state="queued", pid=None)
    beating = threading.Thread(target=mine.beat)
    beating.start()
    until(lambda: mine._stop.is_set())
    with pytest.raises(CancelledError):
        mine.progress("prune", 2, 2)
    mine.end("done")
    beating.join()
    assert Queue(store).job(job_id).state == "queued"  # what it writes no longer counts


def test_only_one_process_takes_a_job(orphan, store, dead_process):
    queue, job_id = orphan(**dead_process)
    assert Worker(store, job_id).take() is None
    assert worker.work(store, job_id, run=None) == 1
    assert queue.job(job_id).state == "running"


def test_progress_is_throttled_but_stages_are_written_at_once(orphan, store, monkeypatch):
    queue, job_id = orphan()
    mine = Worker(store, job_id)
    mine.take()
    monkeypatch.setattr(worker, "PROGRESS_SECONDS", 3600)
    mine.progress("prune", 1, 9, "a")
    mine.progress("prune", 2, 9, "b")
    assert (queue.job(job_id).done, queue.job(job_id).detail) == (1, "a")
    mine.progress("evaluate", 1, 5)
    assert (queue.job(job_id).stage, queue.job(job_id).total, queue.job(job_id).detail) == ("evaluate", 5, "")
