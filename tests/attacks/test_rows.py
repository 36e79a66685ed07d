"""Damaged rows and databases: what can be read is printed, and the rest is named and left out."""

import json
import os
import shutil
import sqlite3
import threading
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.base import paths
from core.store import database
from core.store.store import Store
from tests.attacks.damage import ATTACK, as_json, damaged, damaged_tree, examples
from tests.attacks.machine import BUNDLED, FORMS, RUN, expect, limited, perplexity, print_results

pytestmark = ATTACK

MOST_LAYERS = 4  # of a row, so that most changes are elsewhere


@cache
def lines():
    """Return the bundled rows, with few layers."""
    rows = [json.loads(line) for file in sorted(BUNDLED.glob("*.jsonl")) for line in file.read_text().splitlines()]
    return [as_json(row | {"layers": row.get("layers", [])[:MOST_LAYERS]}) for row in rows]


@st.composite
def damaged_lines(draw):
    """Draw a row that is damaged as a tree, or sometimes as text."""
    line = lines()[draw(st.integers(0, len(lines()) - 1))]
    if draw(st.integers(0, 9)) < 9:
        return as_json(draw(damaged_tree(json.loads(line))))
    return draw(damaged(st.just(line.decode()))).encode("utf-8", "replace")


@examples(1_200)
@given(st.tuples(*[damaged_lines()] * 2), st.tuples(*[st.integers(0, 10**6)] * 2), st.sampled_from(FORMS))
def test_damaged_rows_are_named(empty_place, monkeypatch, bad, good, form):
    some = [*bad, *(lines()[number % len(lines())] for number in good)]
    monkeypatch.setattr(paths, "SHIPPED_MEASURED", empty_place / "rows")
    (empty_place / "rows").mkdir(exist_ok=True)
    (empty_place / "rows" / "rows.jsonl").write_bytes(b"\n".join(some))
    with limited(seconds=60):
        store = Store()
        print_results(store, form)
        read = store.read()
    store.engine.dispose()
    assert len(read.results) + len(read.warnings) >= len(set(some)) - 2


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


BUSY_SECONDS = 2
DAMAGES = {
    "cut": lambda file, draw: os.truncate(file, draw.randrange(1, file.stat().st_size)),
    "empty": lambda file, draw: os.truncate(file, 0),
    "page": _page,
    "locked shortly": _locked(0.5),
    "locked for long": _locked(5 * BUSY_SECONDS),
    **{f"no {table}": _execute(f"DROP TABLE {table}") for table in ("variants", "jobs", "alembic_version")},
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
    for words in (first, draw.choice((("results", "--csv"), (*RUN, "--force")))):
        expect(*words)
    for left in file.parent.glob("local.db*"):
        left.unlink()
    shutil.copy(place / "good.db", file)
    expect(*RUN, codes=(0,))
    assert perplexity() == machine.perplexity
