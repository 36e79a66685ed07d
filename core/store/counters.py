"""Numbers in the database that only rise, each also the lock of those who raise it.

A transaction that raises a counter first runs alone among those that do, until it ends: SQLite locks the database at
the first statement that writes, other databases the counter's row.
"""

from sqlalchemy import Connection, update

from core.errors import StorageError
from core.store.tables import counters

RESULTS, JOBS = "results", "jobs"  # raised with each change of a result; by who submits, moves or cancels jobs


def raise_counter(connection: Connection, name: str) -> int:
    """Return the next value of a counter, no clock's; to be called before anything else in a transaction."""
    change = update(counters).where(counters.c.name == name).values(value=counters.c.value + 1)
    value = connection.execute(change.returning(counters.c.value)).scalar()
    if value is None:
        raise StorageError(f"The database has lost its counter {name!r}; move the database away and a new one is made.")
    return value
