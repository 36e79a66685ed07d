"""What the tests of the queue share: jobs whose process only pretends to compute, or that have none."""

import sys
import time
from contextlib import suppress

import psutil
from sqlalchemy import update

from core.jobs.executor import End, Executor, Handle
from core.jobs.queue import Queue
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


def kill_tree(pid):
    """Kill a process with all that it started, where it still runs."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                one.kill()


def change(store, job_id, **values):
    with store.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))


class PlayedHandle(Handle):
    """A process that does what a test sets."""

    def __init__(self, text):
        self.text, self.orders = text, []
        self.end = self.machine = None
        self.halted = False

    def poll(self):
        return self.end

    def waits_for(self):
        return self.machine

    def stopped(self):
        return self.halted

    def resume(self):
        self.orders.append("resume")

    def kill(self):
        self.orders.append("kill")


class PlayedExecutor(Executor):
    """An executor that starts no process; `processes` by the texts of their handles."""

    def __init__(self, url, processes=None):
        super().__init__(url)
        self.processes = {} if processes is None else processes

    def launch(self, job_id, token, spec):
        handle = PlayedHandle(f"{self.host} {job_id} {len(self.processes)}")
        self.processes[handle.text] = handle
        return handle

    def adopt(self, handle, beating=False):
        return self.processes.get(handle)


class PlayedQueue(Queue):
    """A queue without processes, whose supervisor looks at the rows in `step` only."""

    def __init__(self, store, processes=None):
        super().__init__(store, PlayedExecutor(store.url, processes))
        self.supervisor = self._supervisor
        self.supervisor.light = self.supervisor.executor
        self.processes = self.supervisor.executor.processes

    def step(self):
        self.supervisor.step()

    def begin(self):
        """Submit a job and look at the rows once; return its id."""
        job_id = self.submit(spec("a"))
        self.step()
        return job_id

    def process(self, job_id):
        return self.processes[self.job(job_id).handle]

    def finish(self, job_id, state="done"):
        """Let the process of a job write its end, and end."""
        change(self.store, job_id, state=state, finished=self.job(job_id).read)
        self.process(job_id).end = End("ended with exit code 0")
        self.step()
