"""The supervisor: a thread that starts queued jobs and records the end of their processes. Each machine has one.

Only the rows store the state of jobs. A claim gives a job a new token and a lease. A supervisor adopts processes that
outlived an earlier one. A process that dies under a supervisor has failed. An attempt whose process died without one,
or whose lease has ended where its process cannot be seen, is lost: the job runs again, at most `RESTARTS` times. All
times in rows come from the database's clock.
"""

from __future__ import annotations

import logging
import secrets
import socket
import threading
from time import monotonic
from typing import TypeAlias

from filelock import FileLock, Timeout
from sqlalchemy import Row, or_, select, update

from core.base import paths
from core.base.errors import UserError
from core.jobs.executor import Executor, Handle
from core.jobs.here import lacking_here, must_wait
from core.jobs.kinds import OWN, RUN, SEARCH, SEARCHER, TRIAL, Kind
from core.jobs.logs import share_log, with_last_line
from core.jobs.worker import Column, claimed, lease
from core.specs import Scalar
from core.store.clock import Now
from core.store.store import Store
from core.store.tables import jobs

JobRow: TypeAlias = "Row[*tuple[Scalar, ...]]"  # of the table `jobs`
log = logging.getLogger(__name__)

RESTARTS = 2
ACTIVE = ("queued", "running")  # states
ENDED = ("done", "failed", "cancelled")
ACTIVE_SECONDS = 0.5  # between checks while a job runs
IDLE_SECONDS = 3.0  # between checks for jobs of other processes
GRACE_SECONDS = 10.0  # from cancelling to killing a suspended process
KILL_TIMES = 30  # grace periods until it is killed: a training run first writes its best weights, which may be large
TURN = (jobs.c.created, jobs.c.id)  # the order in which queued jobs start
BEATING_SECONDS = 5.0  # since the last heartbeat, within which a job's process is certainly the one of its handle
MACHINE = "machine"  # stage of a running job whose executor has no machine for it yet
FETCH_SECONDS = 60.0  # between checks whether this machine can run a job of another one


class Supervisor:
    """The supervisor of a store's jobs on this machine."""

    def __init__(self, store: Store, executor: Executor, light: Executor | None = None):
        self.problem: str | None = None  # reason why it starts no jobs, in one sentence
        self.store = store
        self.executor = executor
        self.light = light or Executor(store.url, SEARCHER)  # of all but runs, on this machine only
        self.host = socket.gethostname()
        # By the token of the attempt:
        self.handles: dict[str, Handle] = {}  # of runs, each of which takes a slot
        self.searches: dict[str, Handle] = {}  # and of all others; trials take turns with runs by the lock of a slot
        self._wake = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._unfit: dict[int, float] = {}  # time of the last check, by job that this machine cannot run

    def start(self) -> None:
        """Start the supervising thread, unless it runs."""
        if self._thread is None or not self._thread.is_alive():
            self._stopped = False
            self._thread = threading.Thread(target=self._run, name="job supervisor", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Check the rows now."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread, so that another process can supervise; running jobs continue."""
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
            except Timeout:  # another process supervises; try again later
                self.problem = None
                self._pause(IDLE_SECONDS)
            except OSError as error:
                self._report(paths.unwritable_words(folder, error))
                self._pause(IDLE_SECONDS)

    def _supervise(self) -> None:
        while not self._stopped:
            try:
                self.step()
                self._report(self.executor.problem())
            except Exception as error:  # retrying is better than a queue that stops silently
                log.exception("The job supervisor failed and will retry")
                reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
                self._report(f"The queue failed and will retry: {reason}")
                self._pause(IDLE_SECONDS)
            self._pause(ACTIVE_SECONDS if self.handles or self.searches else IDLE_SECONDS)

    def _report(self, problem: str | None) -> None:
        if problem is not None and problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem

    def _pause(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def step(self) -> None:
        """Check every running job once, then start queued ones in free slots."""
        wanted = or_(jobs.c.state == "running", jobs.c.token.in_([*self.handles, *self.searches]))
        with self.store.begin() as connection:
            rows = connection.execute(select(jobs, Now().label("now")).where(wanted)).all()
        for held in (self.handles, self.searches):
            for token in held.keys() - {row.token for row in rows}:  # its row was deleted, or has another attempt
                held.pop(token).kill()
        for row in rows:
            try:
                self._watch(row)
            except (AttributeError, TypeError, ValueError) as error:  # an invalid row must not block the others
                log.exception("Job %d cannot be watched", row.id)
                self._end(row, f"The job's row cannot be read ({error}).")
        while self._launch(SEARCH):
            pass
        while self.executor.has_room(self.handles.values()) and self._launch(RUN):
            pass

    def _watch(self, row: JobRow) -> None:
        handle = self._held(row).get(row.token) or self._adopt(row)
        if handle is None:
            return
        end = handle.poll()
        if end is None:
            if row.kind not in OWN:
                self._look_after(row, handle)
            elif row.state != "running":  # the process goes on with other work
                del self._held(row)[row.token]
            return
        del self._held(row)[row.token]
        if end.lost or (row.state == "running" and _is_over(row)):  # over: it could not reach the database
            self._interrupted(row)
            return
        if self._executor(row.kind).is_local:
            share_log(row.id)
        self._end(row, with_last_line(f"The job's process {end.words}", row.id))

    def _look_after(self, row: JobRow, handle: Handle) -> None:
        """Keep the lease of a process that waits for a machine, and end one that does not stop by itself."""
        since = row.finished or row.cancel
        late = row.now - since if since else 0
        machine = handle.waits_for()
        if machine is not None:
            if row.cancel:
                handle.kill()
                self._end(row, "")
            else:
                self._set(row, lease=lease(), heartbeat=Now(), stage=MACHINE, detail=machine)
        elif late > KILL_TIMES * GRACE_SECONDS or (late > GRACE_SECONDS and handle.stopped()):
            handle.kill()
        elif since and handle.stopped():
            handle.resume()  # it can now notice the cancellation and save its partial result
        elif not self._executor(row.kind).is_local and row.state == "running" and _is_over(row):
            handle.kill()  # its machine cannot reach the database, and another one may take the job
            del self._held(row)[row.token]
            self._interrupted(row)

    def _adopt(self, row: JobRow) -> Handle | None:
        """Return the process of a job that another supervisor launched; queue the job again if the attempt is lost."""
        executor = self._executor(row.kind)
        if row.handle is None or not executor.sees(row.handle):
            if _is_over(row):
                self._interrupted(row)
            return None
        beating = row.now - (row.heartbeat or 0.0) < BEATING_SECONDS
        handle = executor.adopt(row.handle, beating)
        if handle is None:
            self._interrupted(row)
        else:
            self._held(row)[row.token] = handle
        return handle

    def _interrupted(self, row: JobRow) -> None:
        if row.kind in OWN:
            self._end(row, "Its process ended.")  # a search that goes on makes its trial again
        elif row.cancel or row.attempts > RESTARTS:
            self._end(row, f"The job was interrupted {row.attempts} times when its machine or its program ended.")
        elif row.state == "running":
            log.warning("Job %d was interrupted and is queued again", row.id)
            self._set(row, state="queued", token=None, handle=None, lease=None, heartbeat=None, stage="", detail="")

    def _end(self, row: JobRow, error: str) -> None:
        """Set the end state of a job whose process has ended, unless the process wrote one itself."""
        state = {"state": "cancelled"} if row.cancel else {"state": "failed", "error": error}
        self._set(row, finished=Now(), **state)

    def _held(self, row: JobRow) -> dict[str, Handle]:
        return self.handles if row.kind == RUN else self.searches

    def _executor(self, kind: Kind) -> Executor:
        return self.executor if kind == RUN else self.light

    def _launch(self, kind: Kind) -> bool:
        """Start the next queued job of a kind; return False if this machine can run none."""
        row = self._claim(self._next(kind))
        if row is None:
            return False
        try:
            handle = self._executor(kind).launch(row.id, row.token, row.spec)
        except OSError as error:
            self._end(row, f"The job's process did not start: {error.strerror or error}.")
            return True
        self._held(row)[row.token] = handle
        self._set(row, handle=handle.text)
        return True

    def _claim(self, job_id: int | None) -> JobRow | None:
        """Give a queued job to a new attempt and return its row; None if another supervisor claims it."""
        queued = select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.state == "queued")
        free = queued.with_for_update(skip_locked=True).scalar_subquery()
        claim = update(jobs).where(jobs.c.id == free).values(**claimed(secrets.token_hex(16)))
        with self.store.begin() as connection:
            if not connection.execute(claim).rowcount:
                return None
            return connection.execute(select(jobs).where(jobs.c.id == job_id)).one()

    def _next(self, kind: Kind) -> int | None:
        """Return the first queued job of a kind that can run now, or None.

        A search must be of this machine. A run must be of this machine, or one that it or the executor can run, and
        need no part that a running one makes.
        """
        columns = jobs.c.id, jobs.c.host, jobs.c.state, jobs.c.spec
        active = select(*columns).where(jobs.c.state.in_(ACTIVE), jobs.c.kind.in_((kind, TRIAL))).order_by(*TURN)
        with self.store.begin() as connection:
            rows = connection.execute(active).all()
        if kind == SEARCH:
            return next((row.id for row in rows if row.state == "queued" and row.host == self.host), None)
        running = [row.spec for row in rows if row.state == "running"]
        for row in rows:
            fits = not self.executor.is_local or row.host in (None, self.host) or self._fits(row.id)
            if row.state == "queued" and fits and not must_wait(row.spec, running, self.store, self.executor.is_local):
                found: int = row.id
                return found
        return None

    def _fits(self, job_id: int) -> bool:
        """Return whether this machine can run a job of another one; recheck later, as texts and models may arrive."""
        checked = self._unfit.get(job_id)
        if checked is not None and monotonic() - checked < FETCH_SECONDS:
            return False
        with self.store.begin() as connection:
            spec = connection.execute(select(jobs.c.spec).where(jobs.c.id == job_id)).scalar()
        if spec is not None and lacking_here(spec) is None:
            return True
        self._unfit[job_id] = monotonic()
        return False

    def _set(self, row: JobRow, **values: Column) -> None:
        """Update a running job's row, unless its process or another supervisor has changed its state."""
        same = (jobs.c.id == row.id, jobs.c.state == "running", jobs.c.token == row.token)
        with self.store.begin() as connection:
            connection.execute(update(jobs).where(*same).values(**values))


def _is_over(row: JobRow) -> bool:
    """Return whether the lease of a running job has ended; a row without one has no living process."""
    over: bool = row.now > (row.lease or 0.0)
    return over
