"""The table of kills: how often each process is killed, by the work that it interrupts."""

from collections.abc import Iterator
from typing import NamedTuple

# A worker computes; on Ray it is a child of a Ray worker, which holds a part of a machine. A supervisor starts workers;
# that of a sweep is the command itself. A dashboard supervises, too, and asks. The database of SQLite is a process that
# writes. A head leads a cluster. With a machine, all processes of this table die together.
TABLE = """
work      executor  store       worker  supervisor  dashboard  database  head  Ray_worker  machine
run       local     SQLite           2           2          1         1     .           .        2
run       local     PostgreSQL       1           1          1         2     .           .        1
run       ray       SQLite           1           .          .         .     1           1        1
search    local     SQLite           2           2          1         1     .           .        2
search    local     PostgreSQL       1           1          .         2     .           .        1
search    ray       PostgreSQL       .           .          .         .     1           1        1
question  local     SQLite           2           .          2         1     .           .        1
question  local     PostgreSQL       1           .          1         1     .           .        1
sweep     local     SQLite           2           .          .         1     .           .        .
sweep     2_slots   SQLite           1           1          1         .     .           .        1
sweep     2_slots   PostgreSQL       .           1          .         1     .           .        .
sweep     ray       PostgreSQL       .           1          .         1     2           2        1
"""
WORKS = ("run", "search", "question", "sweep")
TARGETS = ("worker", "supervisor", "dashboard", "database", "head", "Ray_worker", "machine")


class Kill(NamedTuple):
    """A kill; the number is its place among those of its kind, which come one after another in the work."""

    work: str
    executor: str
    store: str
    target: str
    number: int
    count: int

    def __str__(self) -> str:
        return "-".join((*self[:4], str(self.number)))


def kills() -> Iterator[Kill]:
    """Yield the kills of the table."""
    _, *rows = TABLE.split("\n")[1:-1]
    for work, executor, store, *counts in map(str.split, rows):
        for target, count in zip(TARGETS, (int(one.replace(".", "0")) for one in counts), strict=True):
            for number in range(count):
                yield Kill(work, executor, store, target, number, count)
