"""The thread that starts queued jobs and notices how their processes end. One lives on a machine.

It never holds the truth: rows say what is wanted and what is running, and a process that outlived its supervisor is
adopted by the next one. A process that died under a living supervisor failed; one that died with no supervisor to see
why is started again, at most `RESTARTS` times. All times that rows hold are of the database's clock.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from time import monotonic
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import Row, or_, select, update

from core import paths
from core.errors import UserError
from core.jobs.executor import Executor, Handle, log_tail
from core.jobs.here import runs_here
from core.store.clock import Now
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
BEATING_SECONDS = 5.0  # since the last heartbeat, within which a job's process is certainly the one with its pid
FETCH_SECONDS = 60.0  # between looks whether this machine can run a job that another one submitted


class Supervisor:
    def __init__(self, store: Store, executor: Executor):
        self.problem: str | None = None  # why it starts no jobs, in one sentence
        self.store = store
        self.executor = executor
        self.host = socket.gethostname()
        self.handles: dict[int, Handle] = {}
        self._wake = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._unfit: dict[int, float] = {}  # jobs that this machine cannot run, and when it looked

    def start(self) -> None:
        """Supervise in a thread, unless one of this object does."""
        if self._thread is None or not self._thread.is_alive():
            self._stopped = False
            self._thread = threading.Thread(target=self._run, name="job supervisor", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Look at the rows now."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread and let another process supervise; running jobs go on."""
        self._stopped = True
        self.wake()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped:
            folder = paths.local_results_dir()
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with FileLock(folder / "supervisor.lock", timeout=0):
                    self._supervise()
            except Timeout:  # another process supervises; take over when it ends
                self.problem = None
                self._pause(IDLE_SECONDS)
            except OSError as error:
                self._report(paths.unwritable_words(folder, error))
                self._pause(IDLE_SECONDS)

    def _supervise(self) -> None:
        while not self._stopped:
            try:
                self.step()
                self.problem = None
            except Exception as error:  # a queue that stops without a word is worse than one that tries again
                log.exception("The job supervisor failed and tries again")
                reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
                self._report(f"The queue fails and tries again: {reason}")
                self._pause(IDLE_SECONDS)
            self._pause(ACTIVE_SECONDS if self.handles else IDLE_SECONDS)

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem

    def _pause(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def step(self) -> None:
        """Look once at every running job, then start queued ones where there is room."""
        wanted = or_(jobs.c.state == "running", jobs.c.id.in_(list(self.handles)))
        with self.store.begin() as connection:
            rows = connection.execute(select(jobs, Now().label("now")).where(wanted)).all()
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
            late = row.now - since if since else 0
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
            gone = row.now - (row.heartbeat or row.started) > STALE_SECONDS
        elif row.pid is None:
            gone = row.now - row.started > START_SECONDS
        else:
            beating = row.now - (row.heartbeat or 0.0) < BEATING_SECONDS
            handle = self.executor.adopt(row.pid, row.process_created, beating)
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
        self._set(row, finished=Now(), **state)

    def _launch(self) -> bool:
        """Start the job whose turn it is; False if none waits that this machine can run."""
        job_id = self._next()
        claim = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "queued")
        mine = {"state": "running", "attempts": jobs.c.attempts + 1, "supervisor": f"{self.host}/{os.getpid()}"}
        with self.store.begin() as connection:
            if job_id is None or not connection.execute(claim.values(**mine, started=Now())).rowcount:
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

    def _next(self) -> int | None:
        """Return the first waiting job that this machine can run: any that it submitted, and of others those it can."""
        waiting = select(jobs.c.id, jobs.c.host).where(jobs.c.state == "queued").order_by(*TURN)
        with self.store.begin() as connection:
            rows = connection.execute(waiting).all()
        return next((row.id for row in rows if row.host in (None, self.host) or self._fits(row.id)), None)

    def _fits(self, job_id: int) -> bool:
        """Whether this machine can run a job that another one submitted; a text or a model may come later."""
        looked = self._unfit.get(job_id)
        if looked is not None and monotonic() - looked < FETCH_SECONDS:
            return False
        with self.store.begin() as connection:
            spec = connection.execute(select(jobs.c.spec).where(jobs.c.id == job_id)).scalar()
        if spec is not None and runs_here(spec):
            return True
        self._unfit[job_id] = monotonic()
        return False

    def _set(self, row: Row, **values: Any) -> None:
        """Change a running job's row, unless its process or another supervisor has moved it on."""
        same = (jobs.c.id == row.id, jobs.c.state == "running", jobs.c.attempts == row.attempts)
        with self.store.begin() as connection:
            connection.execute(update(jobs).where(*same).values(**values))
