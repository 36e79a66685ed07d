"""The thread that starts queued jobs and notices how their processes end. One lives on a machine.

It never holds the truth: rows say what is wanted and what is running, and a process that outlived its supervisor is
adopted by the next one. A process that died under a living supervisor failed; one that died with no supervisor to see
why is started again, at most `RESTARTS` times.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import Row, or_, select, update

from core import paths
from core.jobs.executor import Executor, Handle, log_tail
from core.store.store import Store
from core.store.tables import jobs

log = logging.getLogger(__name__)

SLOTS = 1  # jobs at once: two computing processes slow each other down
RESTARTS = 2
ACTIVE_SECONDS = 0.5  # between looks while a job runs
IDLE_SECONDS = 3.0  # between looks for jobs that another process submitted
GRACE_SECONDS = 10.0  # from asking a job to stop to interrupting its process, or killing one that is halted again
KILL_TIMES = 30  # as long to killing it: a training writes the best that it has come to, which may be large
START_SECONDS = 30.0  # for a process to write its own pid
TURN = (jobs.c.created, jobs.c.id)  # the order in which waiting jobs are started
STALE_SECONDS = 120.0  # without a heartbeat, after which another machine's job counts as dead


class Supervisor(threading.Thread):
    def __init__(self, store: Store, executor: Executor):
        super().__init__(name="job supervisor", daemon=True)
        self.store = store
        self.executor = executor
        self.host = socket.gethostname()
        self.handles: dict[int, Handle] = {}
        self._wake = threading.Event()
        self._stopped = False

    def wake(self) -> None:
        """Look at the rows now."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread and let another process supervise; running jobs go on."""
        self._stopped = True
        self.wake()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        folder = paths.local_results_dir()
        folder.mkdir(parents=True, exist_ok=True)
        while not self._stopped:
            try:
                with FileLock(folder / "supervisor.lock", timeout=0):
                    self._supervise()
            except Timeout:  # another process supervises; take over when it ends
                self._pause(IDLE_SECONDS)

    def _supervise(self) -> None:
        while not self._stopped:
            try:
                self.step()
            except Exception:  # a queue that stops without a word is worse than one that tries again
                log.exception("The job supervisor failed and tries again")
                self._pause(IDLE_SECONDS)
            self._pause(ACTIVE_SECONDS if self.handles else IDLE_SECONDS)

    def _pause(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def step(self) -> None:
        """Look once at every running job, then start queued ones where there is room."""
        wanted = or_(jobs.c.state == "running", jobs.c.id.in_(list(self.handles)))
        with self.store.begin() as connection:
            rows = connection.execute(select(jobs).where(wanted)).all()
        for job_id in self.handles.keys() - {row.id for row in rows}:  # deleted once it had ended
            self.handles.pop(job_id).kill()
        for row in rows:
            try:
                self._watch(row)
            except (AttributeError, TypeError, ValueError) as error:  # one odd row does not hold up the others
                log.exception("Job %d cannot be watched", row.id)
                self._end(row, f"The job's row cannot be read ({error}).")
        while len(self.handles) < SLOTS and self._launch():
            pass

    def _watch(self, row: Row) -> None:
        handle = self.handles.get(row.id) or self._adopt(row)
        if handle is None:
            return
        how = handle.poll()
        if how is None:
            since = row.finished or row.cancel
            late = time.time() - since if since else 0
            if late > KILL_TIMES * GRACE_SECONDS or (late > GRACE_SECONDS and handle.stopped()):
                handle.kill()
            elif since and handle.stopped():
                handle.resume()  # it hears that it is to stop, and keeps what it has come to
            elif late > GRACE_SECONDS:
                handle.terminate()
            return
        del self.handles[row.id]
        last = log_tail(row.id, 1)
        self._end(row, f"The job's process {how}" + (f"; its last words: {last}" if last else "."))

    def _adopt(self, row: Row) -> Handle | None:
        """Return the running process of a job that another supervisor launched; queue the job again if it is gone."""
        if row.supervisor.rpartition("/")[0] != self.host:
            gone = time.time() - (row.heartbeat or row.started) > STALE_SECONDS
        elif row.pid is None:
            gone = time.time() - row.started > START_SECONDS
        else:
            handle = self.executor.adopt(row.pid, row.process_created)
            if handle is not None:
                self.handles[row.id] = handle
                return handle
            gone = True
        if gone:
            self._interrupted(row)
        return None

    def _interrupted(self, row: Row) -> None:
        if row.cancel or row.attempts > RESTARTS:
            self._end(row, f"The job was interrupted {row.attempts} times with the program that started it.")
        else:
            log.warning("Job %d was interrupted and is queued again", row.id)
            self._set(row, state="queued", pid=None, process_created=None, heartbeat=None, stage="", detail="")

    def _end(self, row: Row, error: str) -> None:
        """Mark a job whose process is gone; a state that the process wrote itself stays."""
        state = {"state": "cancelled"} if row.cancel else {"state": "failed", "error": error}
        self._set(row, finished=time.time(), **state)

    def _launch(self) -> bool:
        """Start the job whose turn it is; False if none waits."""
        with self.store.begin() as connection:
            first = select(jobs.c.id).where(jobs.c.state == "queued").order_by(*TURN).limit(1)
            job_id = connection.execute(first).scalar()
            claim = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "queued")
            mine = {"state": "running", "attempts": jobs.c.attempts + 1, "supervisor": f"{self.host}/{os.getpid()}"}
            if job_id is None or not connection.execute(claim.values(**mine, started=time.time())).rowcount:
                return False
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one()
        try:
            handle = self.executor.launch(job_id)
        except OSError as error:
            self._end(row, f"The job's process could not be started: {error.strerror or error}.")
            return True
        self.handles[job_id] = handle
        self._set(row, pid=handle.pid, process_created=handle.created)
        return True

    def _set(self, row: Row, **values: Any) -> None:
        """Change a running job's row, unless its process or another supervisor has moved it on."""
        same = (jobs.c.id == row.id, jobs.c.state == "running", jobs.c.attempts == row.attempts)
        with self.store.begin() as connection:
            connection.execute(update(jobs).where(*same).values(**values))
