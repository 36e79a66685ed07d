"""Jobs that this process does itself, with a row that other processes see and cancel."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import psutil
from sqlalchemy import Connection, update

from core.jobs.executor import handle_text
from core.jobs.kinds import Kind
from core.jobs.queue import insert_job
from core.jobs.worker import Column, Worker, lease
from core.store.clock import Now
from core.store.store import Store
from core.store.tables import jobs


@contextmanager
def own_job(store: Store, kind: Kind, text: str, parent: int | None = None) -> Iterator[Worker]:
    """Insert a row that runs here, and write its end."""
    token = new_token()
    job_id = store.transact(partial(claim, token, kind, text, parent=parent))
    worker = Worker(store, job_id, token)
    with worker.attempt():
        yield worker


def new_token() -> str:
    """Return the token of a new attempt."""
    return secrets.token_hex(16)


def claim(
    token: str, kind: Kind, text: str, connection: Connection, job_id: int | None = None, parent: int | None = None
) -> int:
    """Let this process do a job, a new one or that with the id, and return its id."""
    values: dict[str, Column] = {"state": "running", "token": token, "started": Now(), "heartbeat": Now()}
    values |= {"lease": lease(), "handle": handle_text(psutil.Process()), "machine": socket.gethostname()}
    if job_id is None:
        return insert_job(connection, kind, text, parent=parent, attempts=1, **values)
    change = update(jobs).where(jobs.c.id == job_id).values(spec=text, attempts=jobs.c.attempts + 1, **values)
    connection.execute(change)
    return job_id
