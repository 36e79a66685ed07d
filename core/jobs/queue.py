"""The queue: which runs are wanted, where each stands, and how one is moved, cancelled, repeated or deleted.

A job is a row. Whoever has the store may submit and cancel; `core.jobs.supervisor` starts the processes. Jobs wait in
the order of their `created` times, which moving a job exchanges; one that is started again keeps its place.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

from pydantic import ValidationError
from sqlalchemy import Connection, case, delete, func, insert, select, update

from core.errors import UserError
from core.fields import fault
from core.jobs.executor import Executor, LocalExecutor, log_file, log_tail
from core.jobs.supervisor import TURN, Supervisor
from core.specs import Frozen, RunSpec
from core.store.clock import Now
from core.store.counters import JOBS, raise_counter
from core.store.store import Store
from core.store.tables import jobs

ACTIVE = ("queued", "running")
STEP = 0.001  # seconds by which a job's `created` is later than any other's, at least
SELECT = select(jobs, Now().label("read"))


class Job(Frozen):
    """A row of the queue, read at the time `read`; `done` of `total` counts inside `stage`.

    Times are seconds since 1970 by the database's clock.
    """

    id: int
    spec: RunSpec
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    stage: str
    done: int
    total: int
    detail: str
    error: str | None  # on failed jobs, one sentence
    attempts: int
    supervisor: str | None
    pid: int | None
    process_created: float | None
    heartbeat: float | None
    cancel: float | None
    created: float
    started: float | None
    stage_started: float | None
    finished: float | None
    host: str | None
    read: float

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


class UnreadableJob(Frozen):
    """A row of the queue that this version cannot read; it can be cancelled and deleted."""

    id: int
    active: bool
    reason: str  # one sentence


class Queue:
    """The jobs of a store. `start()` makes this process the one that runs them, unless another one already does."""

    def __init__(self, store: Store, executor: Executor | None = None):
        self.store = store
        self._supervisor = Supervisor(store, executor or LocalExecutor(store.url))

    def start(self) -> None:
        """Start the supervisor; it lives as long as this process. Jobs outlive it and are found again."""
        self._supervisor.start()

    def stop(self) -> None:
        """Stop supervising and leave running jobs alone."""
        self._supervisor.stop()

    @property
    def problem(self) -> str | None:
        """Why this process starts no jobs, in one sentence; None where nothing hinders it."""
        return self._supervisor.problem

    def submit(self, spec: RunSpec) -> int:
        """Queue a run and return its id; a run that is already queued or running is not queued twice."""
        return self.submit_all([spec])[0]

    def submit_all(self, specs: Sequence[RunSpec]) -> list[int]:
        """Queue runs in this order, all or none, and return their ids, as `submit` does."""
        texts = [spec.model_dump_json() for spec in specs]
        ids = self.store.transact(lambda connection: _submit(connection, texts))
        self._supervisor.wake()
        return ids

    def cancel(self, job_id: int) -> None:
        """Stop a job: at once if it waits, else at its next step, and by force if it takes too long."""
        queued = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "queued")
        running = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "running", jobs.c.cancel.is_(None))
        with self.store.begin() as connection:
            connection.execute(queued.values(state="cancelled", cancel=Now(), finished=Now()))
            connection.execute(running.values(cancel=Now()))
        self._state(job_id)
        self._supervisor.wake()

    def cancel_all(self) -> int:
        """Stop every job as `cancel` does, and return how many were told to."""
        queued = update(jobs).where(jobs.c.state == "queued").values(state="cancelled", cancel=Now(), finished=Now())
        running = update(jobs).where(jobs.c.state == "running", jobs.c.cancel.is_(None)).values(cancel=Now())
        with self.store.begin() as connection:
            raise_counter(connection, JOBS)
            told = sum(connection.execute(change).rowcount for change in (queued, running))
        self._supervisor.wake()
        return told

    def move(self, job_id: int, later: bool) -> None:
        """Let a waiting job change places with the one that waits before it, or after it if `later`.

        Raises `UserError` where it waits no more; nothing changes where it is the first, or the last, already.
        """
        waiting = select(jobs.c.id, jobs.c.created).where(jobs.c.state == "queued").order_by(*TURN)
        with self.store.begin() as connection:
            raise_counter(connection, JOBS)  # first, so that nobody else moves jobs meanwhile
            rows = connection.execute(waiting).all()
            place = next((place for place, row in enumerate(rows) if row.id == job_id), None)
            if place is None:
                raise UserError(f"Job {job_id} does not wait any more, so its place cannot change.")
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
        """Queue an ended job again whose training was cut short, to be trained to its end; return the new job's id."""
        self._check_ended(job_id, "it is still active")
        self.store.delete_cut_short(self.job(job_id).spec.variant.key)
        return self.retry(job_id)

    def delete(self, job_id: int) -> None:
        """Forget an ended job and its log; its results stay."""
        self._check_ended(job_id, "cancel it first")
        with self.store.begin() as connection:
            connection.execute(delete(jobs).where(jobs.c.id == job_id))
        log_file(job_id).unlink(missing_ok=True)

    def job(self, job_id: int) -> Job:
        """Return one job; a `UserError` if there is none of that id, or it cannot be read."""
        found, unreadable = self._read(SELECT.where(jobs.c.id == job_id))
        if unreadable:
            raise UserError(unreadable[0].reason)
        if not found:
            raise UserError(f"There is no job {job_id}.")
        return found[0]

    def jobs(self, limit: int = 100) -> list[Job]:
        """Return the newest jobs, newest first, without those that cannot be read."""
        return self._read(SELECT.order_by(jobs.c.id.desc()).limit(limit))[0]

    def active(self) -> list[Job]:
        """Return the jobs that run, then those that wait, in their order."""
        found = self._read(SELECT.where(jobs.c.state.in_(ACTIVE)).order_by(*TURN))[0]
        return sorted(found, key=lambda job: job.state != "running")

    def ended(self, limit: int = 100) -> list[Job]:
        """Return the jobs that ended last, the last one first."""
        ended = SELECT.where(jobs.c.state.not_in(ACTIVE))
        return self._read(ended.order_by(jobs.c.finished.desc(), jobs.c.id.desc()).limit(limit))[0]

    def unreadable(self, limit: int = 100) -> list[UnreadableJob]:
        """Return those of the newest jobs that cannot be read, newest first."""
        return self._read(SELECT.order_by(jobs.c.id.desc()).limit(limit))[1]

    def log_tail(self, job_id: int, lines: int = 100) -> str:
        """Return the last lines that the job's process wrote; empty if it wrote none."""
        return log_tail(job_id, lines)

    def _state(self, job_id: int) -> str:
        with self.store.begin() as connection:
            state = connection.execute(select(jobs.c.state).where(jobs.c.id == job_id)).scalar()
        if state is None:
            raise UserError(f"There is no job {job_id}.")
        return state

    def _check_ended(self, job_id: int, otherwise: str) -> None:
        if (state := self._state(job_id)) in ACTIVE:
            raise UserError(f"Job {job_id} is {state}; {otherwise}.")

    def _read(self, query: Any) -> tuple[list[Job], list[UnreadableJob]]:
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


def _submit(connection: Connection, texts: Sequence[str]) -> list[int]:
    """Return the ids of jobs whose specs are these JSON texts; those that are active already have theirs."""
    raise_counter(connection, JOBS)  # first, so that nobody else submits between the look and the insertion
    ids = []
    for text in texts:
        same = select(jobs.c.id).where(jobs.c.spec == text, jobs.c.state.in_(ACTIVE), jobs.c.cancel.is_(None))
        job_id = connection.execute(same).scalar()
        if job_id is None:
            job_id = _insert(connection, text)
        ids.append(job_id)
    return ids


def _insert(connection: Connection, text: str) -> int:
    time, last = connection.execute(select(Now(), func.max(jobs.c.created))).one()
    created = max(time, (last or 0.0) + STEP)  # a place of its own behind all others, whatever the clock says
    new = insert(jobs).values(spec=text, state="queued", created=created, host=socket.gethostname())
    key = connection.execute(new).inserted_primary_key
    assert key is not None  # as one row was inserted
    with suppress(OSError):
        log_file(key[0]).unlink()  # of an earlier database
    return key[0]
