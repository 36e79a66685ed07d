"""The queue of jobs: submitting, moving, cancelling, repeating and deleting them.

A job is a row. Any process with the store may submit and cancel; `core.jobs.supervisor` starts the job processes.
Queued jobs are ordered by `created`. Moving a job swaps these times, and a restarted job keeps its own.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Literal

from pydantic import ValidationError
from sqlalchemy import Connection, Executable, case, delete, func, insert, or_, select, update

from core.base.errors import UserError
from core.fields import fault
from core.jobs.executor import Executor
from core.jobs.executors import chosen_executor
from core.jobs.kinds import QUESTION, RUN, TRIAL, Kind
from core.jobs.logs import delete_log, log_file, log_tail
from core.jobs.supervisor import ACTIVE, TURN, Supervisor
from core.jobs.worker import Column
from core.specs import Frozen, RunSpec
from core.store.clock import Now
from core.store.counters import JOBS, raise_counter
from core.store.store import Store
from core.store.tables import jobs, searches

STEP = 0.001  # seconds: two jobs differ in `created` by at least this
EVERY = select(jobs, Now().label("read"))
SELECT = EVERY.where(jobs.c.kind == RUN)


class Row(Frozen):
    """A row of the queue, read at the time `read`; `done` of `total` counts units of `stage`.

    Times are seconds since 1970 by the database's clock.
    """

    id: int
    kind: Kind
    parent: int | None  # the search that asked for it
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


class Job(Row):
    """A run of the queue."""

    spec: RunSpec


class Work(Row):
    """A job of any kind."""

    spec: str  # JSON


class UnreadableJob(Frozen):
    """A row of the queue that this version cannot read, but can cancel and delete."""

    id: int
    active: bool
    reason: str  # one sentence


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
        mine = or_(jobs.c.id == job_id, jobs.c.parent == job_id)
        queued = update(jobs).where(mine, jobs.c.state == "queued")
        running = update(jobs).where(mine, jobs.c.state == "running", jobs.c.cancel.is_(None))
        with self.store.begin() as connection:
            connection.execute(queued.values(state="cancelled", cancel=Now(), finished=Now()))
            connection.execute(running.values(cancel=Now()))
        self.state(job_id)
        self.wake()

    def cancel_all(self) -> int:
        """Cancel every active job and return their number."""
        queued = update(jobs).where(jobs.c.state == "queued").values(state="cancelled", cancel=Now(), finished=Now())
        running = update(jobs).where(jobs.c.state == "running", jobs.c.cancel.is_(None)).values(cancel=Now())
        with self.store.begin() as connection:
            raise_counter(connection, JOBS)
            cancelled = sum(connection.execute(change).rowcount for change in (queued, running))
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
        self._check_ended(job_id, "it is still active")
        new = self.store.transact(partial(_repeat, job_id))
        self.wake()
        return new

    def resume(self, job_id: int) -> int:
        """Queue an ended job again to finish its cancelled training, and return the new job's id."""
        self._check_ended(job_id, "it is still active")
        self.store.delete_cut_short(self.job(job_id).spec.variant.key)
        return self.retry(job_id)

    def delete(self, job_id: int) -> None:
        """Delete an ended job and its log, but not its results."""
        self._check_ended(job_id, "cancel it first")
        with self.store.begin() as connection:
            connection.execute(delete(jobs).where(or_(jobs.c.id == job_id, jobs.c.parent == job_id)))
        delete_log(job_id)

    def job(self, job_id: int) -> Job:
        """Return one job; a `UserError` if it does not exist or cannot be read."""
        found, unreadable = self._read(SELECT.where(jobs.c.id == job_id))
        if unreadable:
            raise UserError(unreadable[0].reason)
        if not found:
            raise UserError(f"There is no job {job_id}.")
        return found[0]

    def jobs(self, limit: int = 100) -> list[Job]:
        """Return the newest readable jobs, newest first."""
        return self._read(SELECT.order_by(jobs.c.id.desc()).limit(limit))[0]

    def active(self) -> list[Job]:
        """Return the running jobs, then the queued ones in their order."""
        found = self._read(SELECT.where(jobs.c.state.in_(ACTIVE)).order_by(*TURN))[0]
        return sorted(found, key=lambda job: job.state != "running")

    def ended(self, limit: int = 100) -> list[Job]:
        """Return the jobs that ended last, latest first."""
        ended = SELECT.where(jobs.c.state.not_in(ACTIVE))
        return self._read(ended.order_by(jobs.c.finished.desc(), jobs.c.id.desc()).limit(limit))[0]

    def newest_sweep(self) -> list[Job]:
        """Return the jobs of the newest sweep in their order; none if the newest job is of no sweep."""
        alone = jobs.c.kind == RUN, jobs.c.parent.is_(None)
        newest = select(jobs.c.sweep).where(*alone).order_by(jobs.c.id.desc()).limit(1).scalar_subquery()
        return self._read(SELECT.where(jobs.c.sweep == newest).order_by(*TURN))[0]

    def works(self, kinds: Sequence[Kind] = (), states: Sequence[str] = (), limit: int = 100) -> list[Work]:
        """Return the jobs of some kinds, or of all, in some states, or in any, the newest first; but no trials."""
        query = EVERY.where(jobs.c.parent.is_(None)).order_by(jobs.c.id.desc()).limit(limit)
        query = query.where(jobs.c.kind.in_(kinds)) if kinds else query
        query = query.where(jobs.c.state.in_(states)) if states else query
        with self.store.begin() as connection:
            return [Work.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def unreadable(self, limit: int = 100) -> list[UnreadableJob]:
        """Return the unreadable ones among the newest jobs, newest first."""
        return self._read(SELECT.order_by(jobs.c.id.desc()).limit(limit))[1]

    def log_tail(self, job_id: int, lines: int = 100) -> str:
        """Return the last lines of a job's log; empty without a log."""
        return log_tail(job_id, lines)

    def state(self, job_id: int) -> str:
        """Return the state of a job of any kind; a `UserError` if it does not exist."""
        with self.store.begin() as connection:
            state: str | None = connection.execute(select(jobs.c.state).where(jobs.c.id == job_id)).scalar()
        if state is None:
            raise UserError(f"There is no job {job_id}.")
        return state

    def _check_ended(self, job_id: int, otherwise: str) -> None:
        if (state := self.state(job_id)) in ACTIVE:
            raise UserError(f"Job {job_id} is {state}; {otherwise}.")

    def _read(self, query: Executable) -> tuple[list[Job], list[UnreadableJob]]:
        with self.store.begin() as connection:
            rows = connection.execute(query).mappings().all()
        found, unreadable = [], []
        for row in rows:
            try:
                found.append(Job.model_validate({**row, "spec": RunSpec.model_validate_json(row["spec"])}))
            except ValidationError as error:
                active = row["state"] in ACTIVE
                unreadable.append(UnreadableJob(id=row["id"], active=active, reason=_unreadable(row["id"], error)))
        return found, unreadable


def _unreadable(job_id: int, error: ValidationError) -> str:
    return f"Job {job_id} cannot be read ({fault(error)})."


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


def _repeat(job_id: int, connection: Connection) -> int:
    kind, text = connection.execute(select(jobs.c.kind, jobs.c.spec).where(jobs.c.id == job_id)).one()
    if kind == QUESTION:
        raise UserError(f"Job {job_id} was a question, whose prompt is not stored; ask it again on the page Inside.")
    if kind in (RUN, TRIAL):
        kind = RUN
        try:
            RunSpec.model_validate_json(text)
        except ValidationError as error:
            raise UserError(_unreadable(job_id, error)) from None
    (new,) = _submit(connection, kind, [text])
    connection.execute(update(searches).where(searches.c.job == job_id).values(job=new, stop=False))
    return new


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
