"""The record of a crash in the row of an attempt, by the process that started it."""

from sqlalchemy import case, update

from core.store.clock import Now
from core.store.store import Store
from core.store.tables import jobs


def record_crash(database: str, job_id: int, token: str, error: str) -> None:
    """Write the end of an attempt's process, unless the attempt has ended or lost its lease."""
    mine = jobs.c.id == job_id, jobs.c.token == token, jobs.c.state == "running", jobs.c.lease >= Now()
    state = case((jobs.c.cancel.is_(None), "failed"), else_="cancelled")
    change = update(jobs).where(*mine).values(state=state, error=error, finished=Now())
    Store(database).transact(lambda connection: connection.execute(change))
