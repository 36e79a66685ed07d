"""The database of the store: its URL, its schema version, and its errors as sentences."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from core.base import paths
from core.base.errors import StorageError, UserError, how_to_install
from core.store.tables import HEAD

if TYPE_CHECKING:
    from alembic.config import Config

UPGRADES = 0x511A5C09E  # the lock of upgrades among those of PostgreSQL
BUSY_SECONDS = 30  # the wait of a writer for another one, and of all for a server that restarts
PAUSE_SECONDS = 0.5  # between tries to reach a server


def database_url(url: str | URL | None = None) -> URL:
    """Return the given URL, else `SLIMSCOPE_DB`, else that of `local.db` in the local results folder."""
    text_url = url or os.environ.get("SLIMSCOPE_DB")
    if not text_url:
        return URL.create("sqlite", database=str(paths.local_results_dir().absolute() / "local.db"))
    try:
        found = make_url(text_url)
    except (ArgumentError, ValueError):
        raise UserError(
            f"{'The given text' if url else 'SLIMSCOPE_DB'} is not a database URL; one looks like "
            "sqlite:////folder/file.db or "
            "postgresql+psycopg://user:password@host/name."
        ) from None
    return found.set(drivername="postgresql+psycopg") if found.drivername in ("postgres", "postgresql") else found


def open_database(url: URL) -> Engine:
    """Return an engine; create its database or upgrade the schema if needed."""
    try:
        if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        local = url.get_backend_name() == "sqlite"
        options = {"timeout": BUSY_SECONDS} if local else {}
        engine = create_engine(url, connect_args=options, pool_pre_ping=not local)
    except NoSuchModuleError:
        known = "known are sqlite and postgresql"
        raise UserError(f"The database URL names an unknown kind of database, {url.drivername!r}; {known}.") from None
    except ImportError as error:
        how = how_to_install("postgres") if error.name == "psycopg" else f"pip install {error.name}"
        raise UserError(
            f"The database {shown(url)} needs the Python package {error.name!r}; install it by {how}."
        ) from None
    except OSError as error:
        raise UserError(f"The folder of the database {shown(url)} cannot be created: {error.strerror}.") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_pragmas)
    with sentences(url):
        _bring_up_to_date(engine)
    return engine


@contextmanager
def sentences(url: URL) -> Iterator[None]:
    """Convert the database's errors to `StorageError`, a `UserError`, without the password."""
    try:
        yield
    except DBAPIError as error:
        raise StorageError(_sentence(str(error.orig), url)) from error
    except SQLAlchemyError as error:
        raise StorageError(_sentence(str(error), url)) from error


def _sentence(reason: str, url: URL) -> str:
    where, low = shown(url), reason.lower()
    if "disk is full" in low or "no space left" in low or "disk i/o error" in low:
        return f"The disk is full: nothing could be written to {where}; free some space and run again."
    if "readonly" in low or "read-only" in low:
        return f"The database {where} is read-only; make it writable or {_elsewhere(url)}."
    if "unable to open" in low:
        return f"The database {where} cannot be opened or created; {_elsewhere(url)}."
    if "not a database" in low or "malformed" in low:
        return f"The file {where} is damaged or is not a database; move it away to create a new one."
    if "is locked" in low:
        return f"The database {where} was busy for {BUSY_SECONDS} s; another process locks it."
    first = reason.strip().splitlines()[0] if reason.strip() else "unknown error"
    if url.password:
        first = first.replace(str(url.password), "***")
    return f"The database {where} failed: {first}"


def _elsewhere(url: URL) -> str:
    """Return how to choose another place for a SQLite file: by a setting, or by another name in the command."""
    if Path(str(url.database)).parent == paths.local_results_dir().absolute():
        return "set SLIMSCOPE_RESULTS to a folder that can be written"
    return "give a file in a folder that can be written"


def shown(url: URL) -> str:
    """Return the file of a database, or its URL without the password."""
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


def _set_pragmas(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    # Damaged bytes become surrogates, which parsers reject, so that other rows stay readable.
    connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
        # Another process may lock the new file. The mode persists in the file, so the next connection retries.
        with suppress(sqlite3.OperationalError):
            cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def schema_version(connection: Connection) -> str | None:
    """Return the revision of the database; None if it has no tables of this program."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def connect(engine: Engine) -> Connection:
    """Open a connection; wait up to `BUSY_SECONDS` for a server that does not answer or starts. SQLite waits itself."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return engine.connect()
        except OperationalError as error:
            reason = str(error.orig)
            refused = "FATAL" in reason and "the database system is" not in reason  # such as a wrong password
            if engine.dialect.name == "sqlite" or refused or time.monotonic() > end:
                raise
            time.sleep(PAUSE_SECONDS)


def _bring_up_to_date(engine: Engine) -> None:
    with connect(engine) as connection:
        if schema_version(connection) == HEAD:
            return
    try:
        _upgrade(engine)
    except SQLAlchemyError:
        # Another process may have upgraded the schema since the check.
        with engine.connect() as connection:
            if schema_version(connection) != HEAD:
                raise


def known_schema(version: str) -> bool:
    """Return whether this version of the program can read a revision."""
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    try:
        return ScriptDirectory.from_config(_migrations()).get_revision(version) is not None
    except CommandError:
        return False


def _migrations() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.util import CommandError

    config = _migrations()
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # other processes wait here; DDL becomes transactional
        elif engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADES})
        if schema_version(connection) == HEAD:
            return
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError:
            raise UserError(
                f"The database {shown(engine.url)} was made by a newer version of this program; "
                "update this one, or set SLIMSCOPE_DB to another database."
            ) from None
        connection.commit()
