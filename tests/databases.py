"""SQLite databases that tests create quickly, as none reads one after a power cut, and those of earlier versions."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, Engine, event, text

from core.store import database


@contextmanager
def quick(file: Path) -> Iterator[None]:
    """Inside the context, commits do not wait for the disk, and a new database is created without its history.

    The migrations run once, on a new database `file`, from which all others get their tables.
    """
    upgrade = database._upgrade
    statements: list[str] = []

    def create(engine: Engine) -> None:
        if not statements:
            upgrade(database.create_engine(f"sqlite:///{file}"))
            with sqlite3.connect(file) as migrated:
                statements.extend(one for one in migrated.iterdump() if one not in ("BEGIN TRANSACTION;", "COMMIT;"))
        if engine.dialect.name == "sqlite":
            with engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                if not connection.execute(text("SELECT count(*) FROM sqlite_master")).scalar():
                    for statement in statements:
                        connection.exec_driver_sql(statement)
                    connection.commit()
                    return
        upgrade(engine)

    event.listen(Engine, "connect", _without_waiting)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(database, "_upgrade", create)
            yield
    finally:
        event.remove(Engine, "connect", _without_waiting)


@contextmanager
def at_revision(file: Path, revision: str) -> Iterator[Connection]:
    """Create a database as an earlier version has it, and give a connection, which is committed at the end."""
    file.parent.mkdir(parents=True, exist_ok=True)
    engine, config = database.create_engine(f"sqlite:///{file}"), database._migrations()
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        yield connection
        connection.commit()
    engine.dispose()


def _without_waiting(connection: object, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")
