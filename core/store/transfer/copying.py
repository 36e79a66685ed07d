"""A copy of all results, jobs and searches in an empty database, such as from SQLite to PostgreSQL."""

from pathlib import Path

from sqlalchemy import URL, Connection, Table, func, insert, select, text, update

from core.base.errors import UserError, counted, echo
from core.base.paths import typed_path
from core.specs import Frozen
from core.store.counters import JOBS, RESULTS, SEARCHES, raise_counter
from core.store.database import database_url, shown
from core.store.store import Store
from core.store.tables import counters, jobs, measurements, searches, trials, variants

ROWS = 500  # in memory at once
SERIAL = "SELECT setval(pg_get_serial_sequence('{0}', 'id'), max(id)) FROM {0}"  # PostgreSQL numbers on from there


class Copied(Frozen):
    """Counts of a copy."""

    variants: int
    numbers: int
    jobs: int

    def words(self) -> str:
        """Describe the copy in one sentence."""
        numbers, variants = counted(self.numbers, "number"), counted(self.variants, "variant")
        return f"Copied {numbers} of {variants} and {counted(self.jobs, 'job')}."


def named_store(name: str, exists: bool) -> Store:
    """Return the store with a typed URL or SQLite file, which must exist if `exists`, and else is created.

    Raises `UserError` if the text names no database, or the file does not exist.
    """
    url = database_url(name if "://" in name else URL.create("sqlite", database=str(typed_path(name).absolute())))
    if exists and url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
        raise UserError(f"There is no file {echo(str(url.database))}; give a local.db, or the URL of a database.")
    return Store(url)


def copy_store(source: Store, target: Store) -> Copied:
    """Copy all results, jobs and searches; a source of an earlier version is upgraded.

    Samples and logs are files of the results folder and stay where they are. Raises `UserError` if the target has
    results or jobs, or if jobs of the source run.
    """
    with target.begin() as new, source.begin() as old:
        for name in (RESULTS, JOBS, SEARCHES):  # so that nothing else changes the source meanwhile
            raise_counter(old, name)
            raise_counter(new, name)
        _check(old, source, new, target)
        counts = {table: _copy(old, new, table) for table in (variants, measurements, jobs, searches, trials)}
        for name, value in old.execute(select(counters.c.name, counters.c.value)).all():
            new.execute(update(counters).where(counters.c.name == name).values(value=value))
        if new.dialect.name == "postgresql":
            for table in (measurements, jobs):
                new.execute(text(SERIAL.format(table.name)))
    return Copied(variants=counts[variants], numbers=counts[measurements], jobs=counts[jobs])


def _check(old: Connection, source: Store, new: Connection, target: Store) -> None:
    running = old.execute(select(func.count()).where(jobs.c.state == "running")).scalar_one()
    if running:
        raise UserError(
            f"{running} of the jobs of {shown(source.url)} run; cancel them, or wait until they have ended."
        )
    for table, what in ((variants, "results"), (jobs, "jobs")):
        if new.execute(select(func.count()).select_from(table)).scalar_one():
            raise UserError(f"{shown(target.url)} already has {what}; give an empty database.")


def _copy(old: Connection, new: Connection, table: Table) -> int:
    """Copy the rows of a table and return their number."""
    count = 0
    query = select(table).order_by(*table.primary_key).execution_options(yield_per=ROWS)
    for some in old.execute(query).mappings().partitions():
        new.execute(insert(table), [dict(row) for row in some])
        count += len(some)
    return count
