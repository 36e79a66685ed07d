"""The results of another, perhaps older, database of this program added to those of a store.

The file is never changed: a copy is brought up to date and read.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL

from core.errors import UserError, short
from core.regular_files import check_regular
from core.specs import Frozen
from core.store import samples
from core.store.database import known_schema
from core.store.rows import ParsedRow
from core.store.store import Store

START = b"SQLite format 3\0"  # of each file of SQLite
BESIDE = ("-wal", "-journal")  # files with changes that are not in the database's own yet


class Imported(Frozen):
    """What came of a database."""

    variants: int  # that something came in of
    numbers: int  # that came in
    kept: int  # that were there already, and stay as they were
    sampled: int  # of those that came in, with the outcomes behind them
    warnings: tuple[str, ...] = ()  # what cannot be read

    def words(self) -> str:
        """Say it in one sentence."""
        there = f"; {self.kept} were there already and stay as they were" if self.kept else ""
        return (
            f"{self.numbers} numbers of {self.variants} variants came in, {self.sampled} of them with the outcomes "
            f"behind them{there}."
        )


def import_database(file: Path, store: Store) -> Imported:
    """Add the user's own results in a database to those of a store, which keep their numbers.

    Args:
        file: A SQLite database of this or an earlier version; a folder `samples` beside it has the outcomes.
        store: The store that gets them.

    Returns:
        How much came in, and a sentence for each row that cannot be read.

    Raises:
        UserError: The file is no database of this program, of a newer version, damaged, or the store's own.
    """
    if _in_use(file, store):
        raise UserError(f"{short(str(file))} is the database in use; give one of another place.")
    new = numbers = kept = sampled = 0
    warnings: list[str] = []
    for found in _read(file):
        warnings += found.warnings
        if found.result is None:
            continue
        own = next((mine.result for mine in store.own(found.key)), None)
        there = {row.identity for row in own.measurements} if own else set()
        more = tuple(row for row in found.result.measurements if row.identity not in there)
        kept += len(found.result.measurements) - len(more)
        if own and not more:
            continue
        # Outcomes come first, as the rows are what tells others that there is more.
        sampled += sum([samples.copy_samples(file.parent / samples.FOLDER, found.key, row) for row in more])
        store.put((own or found.result).model_copy(update={"measurements": more}))
        new, numbers = new + 1, numbers + len(more)
    return Imported(variants=new, numbers=numbers, kept=kept, sampled=sampled, warnings=tuple(warnings))


def _in_use(file: Path, store: Store) -> bool:
    try:
        return store.url.get_backend_name() == "sqlite" and file.samefile(str(store.url.database))
    except OSError:  # no such file, as reading it says
        return False


def _read(file: Path) -> list[ParsedRow]:
    with _copied(file) as copy:
        older = Store(URL.create("sqlite", database=str(copy)))
        found = older.own()
        older.engine.dispose()
    return found


@contextmanager
def _copied(file: Path) -> Iterator[Path]:
    """Give a copy of a database, checked to be one of this program that this version reads."""
    shown = short(str(file))
    check_regular(file)
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.db"
        try:
            with file.open("rb") as stream:
                if stream.read(len(START)) != START:
                    raise UserError(f"{shown} is no SQLite database; give a local.db of this program.")
            shutil.copyfile(file, copy)
            for ending in BESIDE:
                if (more := file.with_name(file.name + ending)).is_file():
                    shutil.copyfile(more, f"{copy}{ending}")
        except OSError as error:
            raise UserError(f"{shown} cannot be read: {error.strerror or error}.") from None
        _check(copy, shown)
        yield copy


def _check(copy: Path, shown: str) -> None:
    try:
        with closing(sqlite3.connect(copy)) as connection:
            sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            ours = {"alembic_version", "variants", "measurements"} <= tables
            version = connection.execute("SELECT version_num FROM alembic_version").fetchone() if ours else None
    except sqlite3.DatabaseError as error:
        raise UserError(f"{shown} is damaged ({error}).") from None
    if sound != "ok":
        raise UserError(f"{shown} is damaged ({sound.splitlines()[-1]}).")
    if version is None:
        raise UserError(f"{shown} is a database, but none of this program; give a local.db of it.")
    if not known_schema(version[0]):
        raise UserError(f"{shown} was made by a newer version of this program; update this one.")
