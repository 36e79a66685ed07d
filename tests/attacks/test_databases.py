"""Damaged databases: each command ends in a result or one sentence, and a good database works again."""

import os
import shutil
import sqlite3
import threading

import pytest

from core.store import database
from tests.attacks.damage import ATTACK
from tests.attacks.machine import RUN, expect, perplexity

pytestmark = ATTACK

COMMANDS = (("results",), ("results", "--csv"), RUN, (*RUN, "--force"))
BUSY_SECONDS = 2


def _page(file, draw):
    content = bytearray(file.read_bytes())
    start = 4096 * draw.randrange(1, max(2, len(content) // 4096))
    content[start : start + 4096] = draw.randbytes(4096)
    file.write_bytes(content)


def _execute(statement):
    return lambda file, draw: sqlite3.connect(file, isolation_level=None).execute(statement)


def _locked(seconds):
    """Return a damage that holds the database for some time, where a writer waits for `BUSY_SECONDS`."""

    def hold(file, draw):
        holder = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        threading.Timer(seconds, holder.rollback).start()

    return hold


TABLES = ("variants", "measurements", "jobs", "counters", "alembic_version")
DAMAGES = {
    "cut": lambda file, draw: os.truncate(file, draw.randrange(1, file.stat().st_size)),
    "garbage": lambda file, draw: file.write_bytes(draw.randbytes(8192)),
    "empty": lambda file, draw: os.truncate(file, 0),
    "folder": lambda file, draw: (file.unlink(), file.mkdir()),
    "page": _page,
    "locked shortly": _locked(0.5),
    "locked for long": _locked(5 * BUSY_SECONDS),
    **{f"no {table}": _execute(f"DROP TABLE {table}") for table in TABLES},
    "no counter": _execute("DELETE FROM counters"),
    "no version": _execute("DELETE FROM alembic_version"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("first", [("results",), RUN], ids=["results", "run"])
def test_a_damaged_database_is_refused_and_a_good_one_works_again(first, damage, place, machine, draw, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", BUSY_SECONDS)
    file = place / "results" / "local.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(file, place / "good.db")
    DAMAGES[damage](file, draw)
    for words in (first, draw.choice(COMMANDS)):
        expect(*words)
    for left in file.parent.glob("local.db*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    shutil.copy(place / "good.db", file)
    expect(*RUN, codes=(0,))
    assert perplexity() == machine.perplexity
