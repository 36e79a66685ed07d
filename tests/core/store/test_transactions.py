"""Transactions that the server ends: after a restart and after a deadlock they are done again."""

from types import SimpleNamespace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from core.base.errors import StorageError
from core.store import database
from core.store.store import Store


class EndedError(Exception):
    def __init__(self, sqlstate):
        super().__init__("deadlock detected: process 1 is blocked by process 2")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(("sqlstate", "tries"), [("40P01", 2), ("40001", 2), ("23505", 1)])
def test_transactions_ended_by_the_server_are_retried(sqlstate, tries):
    store, seen = Store(), []

    def work(connection):
        seen.append(connection.execute(text("SELECT 1")).scalar())
        raise OperationalError("UPDATE", {}, EndedError(sqlstate))

    with pytest.raises(StorageError, match=r"failed: deadlock detected") as caught:
        store.transact(work)
    assert seen == [1] * tries and "busy" not in str(caught.value)


def test_a_lost_connection_is_retried():
    store, seen = Store(), []

    def work(connection):
        seen.append(1)
        if len(seen) == 1:
            raise OperationalError("UPDATE", {}, EndedError(None), connection_invalidated=True)
        return "done"

    assert store.transact(work) == "done" and len(seen) == 2


@pytest.mark.parametrize(
    ("kind", "reason", "waits"),
    [
        ("postgresql", "connection refused", True),
        ("postgresql", "FATAL:  the database system is starting up", True),
        ("postgresql", "FATAL:  password authentication failed", False),
        ("sqlite", "database is locked", False),  # it has waited by itself
    ],
)
def test_an_unresponsive_server_times_out(kind, reason, waits, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(database, "PAUSE_SECONDS", 0.01)
    tries = []

    def connect():
        tries.append(1)
        raise OperationalError("", {}, Exception(reason))

    engine = SimpleNamespace(connect=connect, dialect=SimpleNamespace(name=kind))
    for work in (lambda: database.connect(engine), lambda: database._bring_up_to_date(engine)):
        tries.clear()
        with pytest.raises(OperationalError):
            work()
        assert (len(tries) > 1) == waits
