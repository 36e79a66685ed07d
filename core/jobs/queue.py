"""The queue of jobs: submitting, moving, cancelling, repeating and deleting them.

A job is a row. Any process with the store may submit and cancel; `core.jobs.supervisor` starts the job processes.
Queued jobs are ordered by `created`. Moving a job swaps these times, and a restarted job keeps its own.
"""

import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, cached_property
from importlib.util import find_spec
from typing import Literal, TypeAlias

from pydantic import Field, ValidationError
from sqlalchemy import URL, ColumnElement, Connection, case, delete, func, insert, or_, select, update

from core.base.errors import UserError, unknown
from core.fields import fault
from core.jobs.cluster.start import missing_words
from core.jobs.executor import Executor
from core.jobs.kinds import QUESTION, RUN, TRIAL, Kind
from core.jobs.logs import delete_log, log_file
from core.jobs.supervisor import ACTIVE, TURN, Supervisor
from core.jobs.worker import Column
from core.specs import Frozen, RunSpec
from core.store.clock import Now
from core.store.counters import JOBS, raise_counter
from core.store.slots import EXECUTOR, RAY, on_cluster, slots
from core.store.store import Store
from core.store.tables import jobs, searches

LOCAL = "local"  # name of the executor on this machine
STEP = 0.001  # seconds: two jobs differ in `created` by at least this
Order: TypeAlias = "Sequence[ColumnElement[float]]"
NEWEST: Order = (jobs.c.id.desc(),)


class Job(Frozen):
    """A row of the queue, read at the time `read`; `done` of `total` counts units of `stage`.

    Times are seconds since 1970 by the database's clock.
    """

    id: int
    kind: Kind
    parent: int | None  # the search that asked for it
    text: str = Field(validation_alias="spec")  # JSON of a run, or of a search's question
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    stage: str
    done: int
    total: int
    detail: str
    error: str | None  # of failed jobs, one sentence
    attempts: int
    token: str | None  # of the last attempt
    handle: str | None  # of its process, as its executor reads it
    lease: float | None
    heartbeat: float | None
    cancel: float | None
    created: float
    started: float | None
    stage_started: float | None
    finished: float | None
    host: str | None
    machine: str | None  # that runs it, or ran it last
    sweep: str | None
    read: float

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def share(self) -> float:
        """The share of its stage that is done."""
        return min(self.done / self.total, 1.0) if self.total else 0.0

    @property
    def spec(self) -> RunSpec:
        """The run; a `UserError` if this version cannot read it, but can cancel and delete it."""
        if isinstance(self._parsed, UserError):
            raise self._parsed
        return self._parsed

    @property
    def reason(self) -> str | None:
        """Why the run cannot be read, one sentence; None if it can."""
        return str(self._parsed) if isinstance(self._parsed, UserError) else None

    @cached_property
    def _parsed(self) -> RunSpec | UserError:
        try:
            return RunSpec.model_validate_json(self.text)
        except ValidationError as error:
            return UserError(f"Job {self.id} cannot be read ({fault(error)}).")


def runs_several() -> bool:
    """Return whether several jobs can run at once."""
    return on_cluster() or slots() > 1


def check_executor() -> None:
    """Raise `UserError` for an unknown name of an executor, or without the extra that it needs."""
    name = os.environ.get(EXECUTOR, LOCAL)
    if name not in (LOCAL, RAY):
        raise unknown(EXECUTOR, name, (LOCAL, RAY))
    if name == RAY and find_spec("ray") is None:
        raise UserError(missing_words())


def chosen_executor(url: URL) -> Executor:
    """Return the executor of jobs of a store by `SLIMSCOPE_EXECUTOR`, with the errors of `check_executor`."""
    check_executor()
    return _on_ray(url, os.environ.get("RAY_ADDRESS")) if on_cluster() else Executor(url)


@cache
def _on_ray(url: URL, address: str | None) -> Executor:
    """Return the one executor on a cluster in this process, because each has a connected process of its own."""
    from core.jobs.cluster.executor import RayExecutor  # only here, as it reads models' facts

    return RayExecutor(url)


class Queue:
    """The jobs of a store, which this process runs after `start()` unless another one does."""

    def __init__(self, store: Store, executor: Executor | None = None):
        self.store = store
        self._supervisor = Supervisor(store, executor or chosen_executor(store.url))

    def start(self) -> None:
        """Start the supervisor, which ends with this process. Its jobs continue, and a later supervisor adopts them."""
        self._supervisor.start()

    def stop(self) -> None:
        """Stop the supervisor; running jobs continue."""
        self._supervisor.stop()

    @property
    def is_local(self) -> bool:
        """Whether its jobs run on the machines of the dashboards, each with the jobs that it can run."""
        return self._supervisor.executor.is_local

    @property
    def problem(self) -> str | None:
        """The reason why this process starts no jobs, in one sentence, or None."""
        return self._supervisor.problem

    def submit(self, spec: RunSpec) -> int:
        """Queue a run, unless it is already queued or running, and return its job's id."""
        return self.submit_all([spec])[0]

    def submit_all(self, specs: Sequence[RunSpec], parent: int | None = None) -> list[int]:
        """Queue runs in this order, all or none, as `submit` does, and return their ids.

        Several are a sweep, unless they have a parent, the search that asks for them.

        Raises:
            UserError: The executor can never run one of them.
        """
        if refusal := self._supervisor.executor.refusal(specs):
            raise UserError(refusal)
        texts = [spec.model_dump_json() for spec in specs]
        sweep = secrets.token_hex(4) if len(texts) > 1 and parent is None else None
        ids = self.store.transact(lambda connection: _submit(connection, RUN, texts, sweep, parent))
        self.wake()
        return ids

    def wake(self) -> None:
        """Let the supervisor look at the rows now."""
        self._supervisor.wake()

    def cancel(self, job_id: int) -> None:
        """Cancel a job: at once if queued, else at its next progress step, and by force after a grace period.

        A search is cancelled with its trials; their numbers remain.
        """
        self._cancel(or_(jobs.c.id == job_id, jobs.c.parent == job_id))
        self.job(job_id)

    def cancel_all(self) -> int:
        """Cancel every active job and return their number."""
        return self._cancel()

    def _cancel(self, *which: ColumnElement[bool]) -> int:
        queued = update(jobs).where(*which, jobs.c.state == "queued")
        running = update(jobs).where(*which, jobs.c.state == "running", jobs.c.cancel.is_(None))
        with self.store.begin() as connection:
            raise_counter(connection, JOBS)
            cancelled = connection.execute(queued.values(state="cancelled", cancel=Now(), finished=Now())).rowcount
            cancelled += connection.execute(running.values(cancel=Now())).rowcount
        self.wake()
        return cancelled

    def move(self, job_id: int, later: bool) -> None:
        """Swap a queued job with the one before it, or with the one after it if `later`.

        The first job cannot move earlier, nor the last one later. A job that is no longer queued is a `UserError`.
        """
        queued = jobs.c.state == "queued", jobs.c.kind == RUN
        waiting = select(jobs.c.id, jobs.c.created).where(*queued).order_by(*TURN)
        with self.store.begin() as connection:
            raise_counter(connection, JOBS)  # first, so that no other process moves jobs meanwhile
            rows = connection.execute(waiting).all()
            place = next((place for place, row in enumerate(rows) if row.id == job_id), None)
            if place is None:
                raise UserError(f"Job {job_id} is no longer queued; only queued jobs can be moved.")
            other = place + (1 if later else -1)
            if 0 <= other < len(rows):
                swapped = {rows[place].id: rows[other].created, rows[other].id: rows[place].created}
                change = update(jobs).where(jobs.c.id.in_(swapped))
                connection.execute(change.values(created=case(swapped, value=jobs.c.id)))

    def retry(self, job_id: int) -> int:
        """Queue an ended job again and return the new job's id; a search goes on where it stopped."""
        job = self._ended(job_id, "it is still active")
        if job.kind == QUESTION:
            words = "was a question, whose prompt is not stored; ask it again on the page Inside."
            raise UserError(f"Job {job_id} {words}")
        kind = RUN if job.kind == TRIAL else job.kind
        if kind == RUN and job.reason:
            raise UserError(job.reason)

        def repeat(connection: Connection) -> int:
            (new,) = _submit(connection, kind, [job.text])
            connection.execute(update(searches).where(searches.c.job == job_id).values(job=new, stop=False))
            return new

        new = self.store.transact(repeat)
        self.wake()
        return new

    def resume(self, job_id: int) -> int:
        """Queue an ended job again to finish its cancelled training, and return the new job's id."""
        self.store.delete_cut_short(self._ended(job_id, "it is still active").spec.variant.key)
        return self.retry(job_id)

    def delete(self, job_id: int) -> None:
        """Delete an ended job and its log, but not its results."""
        self._ended(job_id, "cancel it first")
        with self.store.begin() as connection:
            connection.execute(delete(jobs).where(or_(jobs.c.id == job_id, jobs.c.parent == job_id)))
        delete_log(job_id)

    def job(self, job_id: int) -> Job:
        """Return one job of any kind; a `UserError` if it does not exist."""
        found = self._read(jobs.c.id == job_id)
        if not found:
            raise UserError(f"There is no job {job_id}.")
        return found[0]

    def jobs(self, limit: int = 100) -> list[Job]:
        """Return the newest readable runs, newest first."""
        return self._runs(limit=limit)

    def active(self) -> list[Job]:
        """Return the running runs, then the queued ones in their order."""
        return sorted(self._runs(jobs.c.state.in_(ACTIVE), order=TURN), key=lambda job: job.state != "running")

    def ended(self, limit: int = 100) -> list[Job]:
        """Return the runs that ended last, latest first."""
        return self._runs(jobs.c.state.not_in(ACTIVE), order=(jobs.c.finished.desc(), *NEWEST), limit=limit)

    def newest_sweep(self) -> list[Job]:
        """Return the runs of the newest sweep in their order; none if the newest run is of no sweep."""
        alone = jobs.c.kind == RUN, jobs.c.parent.is_(None)
        newest = select(jobs.c.sweep).where(*alone).order_by(*NEWEST).limit(1).scalar_subquery()
        return self._runs(jobs.c.sweep == newest, order=TURN)

    def works(self, kinds: Sequence[Kind] = (), states: Sequence[str] = (), limit: int = 100) -> list[Job]:
        """Return the jobs of some kinds, or of all, in some states, or in any, the newest first; but no trials."""
        of_kind, in_state = [jobs.c.kind.in_(kinds)] * bool(kinds), [jobs.c.state.in_(states)] * bool(states)
        return self._read(jobs.c.parent.is_(None), *of_kind, *in_state, limit=limit)

    def unreadable(self, limit: int = 100) -> list[Job]:
        """Return the unreadable ones among the newest runs, newest first."""
        return [job for job in self._read(jobs.c.kind == RUN, limit=limit) if job.reason]

    def state(self, job_id: int) -> str:
        """Return the state of a job; a `UserError` if it does not exist."""
        return self.job(job_id).state

    def _ended(self, job_id: int, otherwise: str) -> Job:
        job = self.job(job_id)
        if job.active:
            raise UserError(f"Job {job_id} is {job.state}; {otherwise}.")
        return job

    def _runs(self, *which: ColumnElement[bool], order: Order = NEWEST, limit: int | None = None) -> list[Job]:
        found = self._read(jobs.c.kind == RUN, *which, order=order, limit=limit)
        return [job for job in found if not job.reason]

    def _read(self, *which: ColumnElement[bool], order: Order = NEWEST, limit: int | None = None) -> list[Job]:
        query = select(jobs, Now().label("read")).where(*which).order_by(*order).limit(limit)
        with self.store.begin() as connection:
            return [Job.model_validate(dict(row)) for row in connection.execute(query).mappings()]


def _submit(
    connection: Connection, kind: Kind, texts: Sequence[str], sweep: str | None = None, parent: int | None = None
) -> list[int]:
    """Return the ids of jobs with these specs (JSON texts); insert those that are not active yet."""
    raise_counter(connection, JOBS)  # first, so that no other process submits between query and insertion
    ids = []
    for text in texts:
        active = jobs.c.state.in_(ACTIVE), jobs.c.cancel.is_(None)
        job_id = connection.execute(select(jobs.c.id).where(jobs.c.kind == kind, jobs.c.spec == text, *active)).scalar()
        if job_id is None:
            job_id = insert_job(connection, kind, text, sweep=sweep, parent=parent)
        ids.append(job_id)
    return ids


def insert_job(connection: Connection, kind: Kind, text: str, **values: Column) -> int:
    """Insert a row, queued unless `values` differ, and return its id."""
    time, last = connection.execute(select(Now(), func.max(jobs.c.created))).one()
    created = max(time, (last or 0.0) + STEP)  # unique and last, even if the clock is wrong
    here = socket.gethostname()
    new = insert(jobs).values(**{"state": "queued"} | values, kind=kind, spec=text, created=created, host=here)
    key = connection.execute(new).inserted_primary_key
    assert key is not None  # one row was inserted
    job_id: int = key[0]
    with suppress(OSError):
        log_file(job_id).unlink()  # log of an earlier database
    return job_id
