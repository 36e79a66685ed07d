"""The queue of jobs: submitting, moving, cancelling, repeating and deleting them.

A job is a row. Any process with the store may submit and cancel; `core.jobs.supervisor` starts the job processes.
Queued jobs are ordered by `created`. Moving a job swaps these times, and a restarted job keeps its own.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from pydantic import ValidationError
from sqlalchemy import Connection, Executable, case, delete, func, insert, select, update

from core.base.errors import UserError
from core.fields import fault
from core.jobs.executor import Executor
from core.jobs.executors import chosen_executor
from core.jobs.logs import delete_log, log_file, log_tail
from core.jobs.supervisor import ACTIVE, TURN, Supervisor
from core.specs import Frozen, RunSpec
from core.store.clock import Now
from core.store.counters import JOBS, raise_counter
from core.store.store import Store
from core.store.tables import jobs

STEP = 0.001  # seconds: two jobs differ in `created` by at least this
SELECT = select(jobs, Now().label("read"))


class Job(Frozen):
    """A row of the queue, read at the time `read`; `done` of `total` counts units of `stage`.

    Times are seconds since 1970 by the database's clock.
    """

    id: int
    spec: RunSpec
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

    def submit_all(self, specs: Sequence[RunSpec]) -> list[int]:
        """Queue runs in this order, all or none, as `submit` does, and return their ids; several are a sweep.

        Raises:
            UserError: The executor can never run one of them.
        """
        if refusal := self._supervisor.executor.refusal(specs):
            raise UserError(refusal)
        texts = [spec.model_dump_json() for spec in specs]
        sweep = secrets.token_hex(4) if len(texts) > 1 else None
        ids = self.store.transact(lambda connection: _submit(connection, texts, sweep))
        self._supervisor.wake()
        return ids

    def cancel(self, job_id: int) -> None:
        """Cancel a job: at once if queued, else at its next progress step, and by force after a grace period."""
        queued = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "queued")
        running = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "running", jobs.c.cancel.is_(None))
        with self.store.begin() as connection:
            connection.execute(queued.values(state="cancelled", cancel=Now(), finished=Now()))
            connection.execute(running.values(cancel=Now()))
        self._state(job_id)
        self._supervisor.wake()

    def cancel_all(self) -> int:
        """Cancel every active job and return their number."""
        queued = update(jobs).where(jobs.c.state == "queued").values(state="cancelled", cancel=Now(), finished=Now())
        running = update(jobs).where(jobs.c.state == "running", jobs.c.cancel.is_(None)).values(cancel=Now())
        with self.store.begin() as connection:
            raise_counter(connection, JOBS)
            cancelled = sum(connection.execute(change).rowcount for change in (queued, running))
        self._supervisor.wake()
        return cancelled

    def move(self, job_id: int, later: bool) -> None:
        """Swap a queued job with the one before it, or with the one after it if `later`.

        The first job cannot move earlier, nor the last one later. A job that is no longer queued is a `UserError`.
        """
        waiting = select(jobs.c.id, jobs.c.created).where(jobs.c.state == "queued").order_by(*TURN)
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
        """Queue the run of an ended job again and return the new job's id."""
        self._check_ended(job_id, "it is still active")
        return self.submit(self.job(job_id).spec)

    def resume(self, job_id: int) -> int:
        """Queue an ended job again to finish its cancelled training, and return the new job's id."""
        self._check_ended(job_id, "it is still active")
        self.store.delete_cut_short(self.job(job_id).spec.variant.key)
        return self.retry(job_id)

    def delete(self, job_id: int) -> None:
        """Delete an ended job and its log, but not its results."""
        self._check_ended(job_id, "cancel it first")
        with self.store.begin() as connection:
            connection.execute(delete(jobs).where(jobs.c.id == job_id))
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
        newest = select(jobs.c.sweep).order_by(jobs.c.id.desc()).limit(1).scalar_subquery()
        return self._read(SELECT.where(jobs.c.sweep == newest).order_by(*TURN))[0]

    def unreadable(self, limit: int = 100) -> list[UnreadableJob]:
        """Return the unreadable ones among the newest jobs, newest first."""
        return self._read(SELECT.order_by(jobs.c.id.desc()).limit(limit))[1]

    def log_tail(self, job_id: int, lines: int = 100) -> str:
        """Return the last lines of a job's log; empty without a log."""
        return log_tail(job_id, lines)

    def _state(self, job_id: int) -> str:
        with self.store.begin() as connection:
            state: str | None = connection.execute(select(jobs.c.state).where(jobs.c.id == job_id)).scalar()
        if state is None:
            raise UserError(f"There is no job {job_id}.")
        return state

    def _check_ended(self, job_id: int, otherwise: str) -> None:
        if (state := self._state(job_id)) in ACTIVE:
            raise UserError(f"Job {job_id} is {state}; {otherwise}.")

    def _read(self, query: Executable) -> tuple[list[Job], list[UnreadableJob]]:
        with self.store.begin() as connection:
            rows = connection.execute(query).mappings().all()
        found, unreadable = [], []
        for row in rows:
            try:
                found.append(Job.model_validate({**row, "spec": RunSpec.model_validate_json(row["spec"])}))
            except ValidationError as error:
                reason = f"Job {row['id']} cannot be read ({fault(error)})."
                unreadable.append(UnreadableJob(id=row["id"], active=row["state"] in ACTIVE, reason=reason))
        return found, unreadable


def _submit(connection: Connection, texts: Sequence[str], sweep: str | None) -> list[int]:
    """Return the ids of jobs with these specs (JSON texts); insert those that are not active yet."""
    raise_counter(connection, JOBS)  # first, so that no other process submits between query and insertion
    ids = []
    for text in texts:
        same = select(jobs.c.id).where(jobs.c.spec == text, jobs.c.state.in_(ACTIVE), jobs.c.cancel.is_(None))
        job_id = connection.execute(same).scalar()
        if job_id is None:
            job_id = _insert(connection, text, sweep)
        ids.append(job_id)
    return ids


def _insert(connection: Connection, text: str, sweep: str | None) -> int:
    time, last = connection.execute(select(Now(), func.max(jobs.c.created))).one()
    created = max(time, (last or 0.0) + STEP)  # unique and last, even if the clock is wrong
    here = socket.gethostname()
    new = insert(jobs).values(spec=text, state="queued", created=created, host=here, sweep=sweep)
    key = connection.execute(new).inserted_primary_key
    assert key is not None  # one row was inserted
    job_id: int = key[0]
    with suppress(OSError):
        log_file(job_id).unlink()  # log of an earlier database
    return job_id
