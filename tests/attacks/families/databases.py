"""Damaged databases: each command ends in a result or one sentence, and a good database works again."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable
from itertools import product
from pathlib import Path

from core.store import database
from tests.attacks.family import Family
from tests.attacks.runs import RUN, Machine, expect, perplexity, prepare, same, settle

COMMANDS = (("results",), ("results", "--csv"), RUN, (*RUN, "--force"))


def _page(file: Path, draw: random.Random) -> None:
    content = bytearray(file.read_bytes())
    start = 4096 * draw.randrange(1, max(2, len(content) // 4096))
    content[start : start + 4096] = draw.randbytes(4096)
    file.write_bytes(content)


def _folder(file: Path, draw: random.Random) -> None:
    file.unlink()
    file.mkdir()


def _execute(statement: str) -> Callable[[Path, random.Random], None]:
    def change(file: Path, draw: random.Random) -> None:
        with sqlite3.connect(file) as connection:
            connection.execute(statement)

    return change


def _locked(seconds: float) -> Callable[[Path, random.Random], None]:
    """Return a damage that holds the database for some time, where a writer waits for 2 s."""

    def hold(file: Path, draw: random.Random) -> None:
        database.BUSY_SECONDS = 2
        holder = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(seconds, holder.rollback)
        timer.daemon = True
        timer.start()

    return hold


DAMAGES = {
    "cut": lambda file, draw: os.truncate(file, draw.randrange(1, file.stat().st_size)),
    "garbage": lambda file, draw: file.write_bytes(draw.randbytes(8192)),
    "empty": lambda file, draw: os.truncate(file, 0),
    "folder": _folder,
    "page": _page,
    "locked shortly": _locked(0.5),
    "locked for long": _locked(20.0),
    "newer": _execute("UPDATE alembic_version SET version_num = '9999'"),
    **{
        f"no-{table}": _execute(f"DROP TABLE {table}")
        for table in ("variants", "measurements", "jobs", "counters", "alembic_version")
    },
    "no-counter": _execute("DELETE FROM counters"),
    "no-version": _execute("DELETE FROM alembic_version"),
}


CASES = tuple(product(DAMAGES, (("results",), RUN)))  # each damage, with the command that comes first


def survives(given: tuple[Machine, tuple[str, tuple[str, ...]]], draw: random.Random, place: Path) -> str | None:
    """Damage the database of a run, try commands on it, put it back, and run again."""
    machine, (damage, first) = given
    os.chdir(machine.folder)
    settle(place)
    expect(RUN, (0,))
    file = place / "results" / "local.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(file, place / "good.db")
    DAMAGES[damage](file, draw)
    for arguments in (first, draw.choice(COMMANDS)):
        expect(arguments)
    for left in file.parent.glob("local.db*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    shutil.copy(place / "good.db", file)
    expect(RUN, (0,))
    return same(perplexity(), machine.perplexity)


FAMILIES = (Family("databases", len(CASES), survives, prepare, cases=CASES, isolated=True, seconds=300),)
