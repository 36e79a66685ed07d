"""Jobs that this process does itself, with a row that other processes see and cancel."""

import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import psutil
from sqlalchemy import Connection, update

from core.jobs.executor import handle_text
from core.jobs.kinds import Kind
from core.jobs.queue import insert_job
from core.jobs.worker import Worker, claimed
from core.store.clock import Now
from core.store.store import Store
from core.store.tables import jobs

Claim = Callable[[Connection, int | None], int]  # lets a process do a job, a new one or that with the id; returns it


@contextmanager
def own_job(
    store: Store, kind: Kind, text: str, parent: int | None = None, begin: Callable[[Claim], int] | None = None
) -> Iterator[Worker]:
    """Insert a row that runs here, and write its end; `begin` calls the claim in a transaction of its own."""
    token = secrets.token_hex(16)
    claim = partial(_claim, token, kind, text, parent)
    job_id = store.transact(partial(claim, job_id=None)) if begin is None else begin(claim)
    worker = Worker(store, job_id, token)
    with worker.attempt():
        yield worker


def _claim(
    token: str, kind: Kind, text: str, parent: int | None, connection: Connection, job_id: int | None = None
) -> int:
    if job_id is None:
        job_id = insert_job(connection, kind, text, parent=parent)
    here = {"heartbeat": Now(), "handle": handle_text(psutil.Process()), "machine": socket.gethostname()}
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(spec=text, **claimed(token), **here))
    return job_id
