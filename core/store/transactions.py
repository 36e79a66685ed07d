"""Transactions that survive a restart of the database server and a deadlock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from core.store.database import connect

ENDED_BY_SERVER = ("40001", "40P01")  # SQL states: serialisation failure, deadlock
Answer = TypeVar("Answer")


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Open a connection in one transaction; wait for an unreachable server as `connect` does."""
    with connect(engine) as connection, connection.begin():
        yield connection


def repeatable(engine: Engine, work: Callable[[Connection], Answer]) -> Answer:
    """Return `work(connection)` of one transaction; retry it once if the server ended the first.

    A connection may break after the server has committed, so `work` must be idempotent.
    """
    try:
        with transaction(engine) as connection:
            return work(connection)
    except DBAPIError as error:
        if not (error.connection_invalidated or getattr(error.orig, "sqlstate", None) in ENDED_BY_SERVER):
            raise
    with transaction(engine) as connection:
        return work(connection)
