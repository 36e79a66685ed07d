"""Import of results from another, perhaps older, database of this program.

The import upgrades and reads a copy, so the file never changes.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL

from core.base.errors import UserError, counted, short
from core.base.paths import check_regular
from core.specs import Frozen
from core.store import samples
from core.store.database import known_schema
from core.store.rows import ParsedRow
from core.store.store import Store

START = b"SQLite format 3\0"  # the first bytes of every SQLite file
BESIDE = ("-wal", "-journal")  # endings of files with changes that the database file lacks


class Imported(Frozen):
    """Counts of an import."""

    variants: int  # with imported numbers
    numbers: int  # imported
    kept: int  # existing numbers, which did not change
    sampled: int  # imported numbers with samples
    warnings: tuple[str, ...] = ()  # unreadable rows

    def words(self) -> str:
        """Describe the import in one sentence."""
        existing = f"; {counted(self.kept, 'existing number')} did not change" if self.kept else ""
        numbers, variants = counted(self.numbers, "number"), counted(self.variants, "variant")
        return f"Imported {numbers} of {variants}, {self.sampled} with samples{existing}."


def import_database(file: Path, store: Store) -> Imported:
    """Add the results of a SQLite database, and the samples next to it, to a store; existing numbers do not change.

    Raises `UserError` if the file is no database of this program, of a newer version, damaged, or the store's own.
    """
    if _in_use(file, store):
        raise UserError(f"{short(str(file))} is the database in use; give another file.")
    new = numbers = kept = sampled = 0
    warnings: list[str] = []
    for old in _read(file):
        warnings += old.warnings
        if old.result is None:
            continue
        own = next((mine.result for mine in store.own(old.key)), None)
        existing = {row.identity for row in own.measurements} if own else set()
        more = tuple(row for row in old.result.measurements if row.identity not in existing)
        kept += len(old.result.measurements) - len(more)
        if own and not more:
            continue
        # Samples come first: once the rows are there, other processes look for them.
        sampled += sum([samples.copy_samples(file.parent / samples.FOLDER, old.key, row) for row in more])
        store.put((own or old.result).model_copy(update={"measurements": more}))
        new, numbers = new + 1, numbers + len(more)
    return Imported(variants=new, numbers=numbers, kept=kept, sampled=sampled, warnings=tuple(warnings))


def _in_use(file: Path, store: Store) -> bool:
    try:
        return store.url.get_backend_name() == "sqlite" and file.samefile(str(store.url.database))
    except OSError:  # no such file; reading it reports that
        return False


def _read(file: Path) -> list[ParsedRow]:
    """Read a copy of a database, after a check that this version of the program can read it."""
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
        older = Store(URL.create("sqlite", database=str(copy)))
        rows = older.own()
        older.engine.dispose()
    return rows


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
        raise UserError(f"{shown} is a database of another program; give a local.db of this one.")
    if not known_schema(version[0]):
        raise UserError(f"{shown} was made by a newer version of this program; update this one.")
