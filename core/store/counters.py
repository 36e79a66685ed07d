"""Counters in the database that only rise and serve as locks.

A transaction that raises a counter first excludes all others that raise it, until it ends. SQLite locks the database
at the first statement that writes. Other databases lock the counter's row.
"""

from sqlalchemy import Connection, update

from core.base.errors import StorageError
from core.store.tables import counters

# Raised by a change of a result; by submitting, moving or cancelling jobs; by a process that begins a search.
RESULTS, JOBS, SEARCHES = "results", "jobs", "searches"


def raise_counter(connection: Connection, name: str) -> int:
    """Raise a counter and return its new value; call this before anything else in a transaction."""
    change = update(counters).where(counters.c.name == name).values(value=counters.c.value + 1)
    value: int | None = connection.execute(change.returning(counters.c.value)).scalar()
    if value is None:
        raise StorageError(f"The database has lost its counter {name!r}; move the database away to create a new one.")
    return value
