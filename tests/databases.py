"""Databases of tests: SQLite that is created quickly or of earlier versions, and a PostgreSQL server."""

import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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


DEADLINE_SECONDS = 60  # for the server to start


def binaries() -> Path | None:
    """Return the folder of the newest server's programs, None where there is none."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    found = places[-1] if places else shutil.which("initdb")
    return Path(found).parent if found else None


@dataclass
class Server:
    """A running server. As root it runs as another user, as PostgreSQL refuses root."""

    folder: Path
    options: dict[str, object] = field(default_factory=dict)  # of the processes that it starts
    process: subprocess.Popen | None = None
    databases: int = 0

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = {"listen_addresses": "", "fsync": "off", "unix_socket_directories": self.folder}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.process = self._popen("postgres", "-D", self.folder / "data", *words)
        end = time.monotonic() + DEADLINE_SECONDS
        while self._popen("pg_isready", "-q", "-h", self.folder).wait():
            assert time.monotonic() < end and self.process.poll() is None, self.log()
            time.sleep(0.1)

    def stop(self) -> None:
        """End the server at once; its clients lose their connections."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()

    def log(self) -> str:
        """Return what the server has written."""
        return (self.folder / "log").read_text()

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        self.databases += 1
        name = f"test{self.databases}"
        assert not self._popen("createdb", "-h", self.folder, "-U", "postgres", name).wait(), self.log()
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"

    def _popen(self, program: str, *arguments: str | Path) -> subprocess.Popen:
        place = binaries()
        assert place is not None, "There is no PostgreSQL server; install the package postgresql."
        with open(self.folder / "log", "ab") as log:
            return subprocess.Popen(
                [place / program, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.options
            )


@contextmanager
def server() -> Iterator[Server]:
    """Give a running server with an empty cluster, and delete it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="slimscope-pg-"))
    running = Server(folder)
    if os.geteuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        running.options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": folder}
    try:
        arguments = ("-D", folder / "data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync")
        assert not running._popen("initdb", *arguments).wait(), running.log()
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder)
