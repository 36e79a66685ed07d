"""Transactions that the server ends: after a restart and after a deadlock they are done again."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from core import paths
from core.errors import StorageError
from core.store import transactions
from core.store.store import Store
from tests import postgres
from tests.core.factories import KEY, make, perplexity


@pytest.fixture(autouse=True)
def isolated(results_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SHIPPED_MEASURED", tmp_path / "measured")


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


def test_an_unresponsive_server_times_out(monkeypatch):
    monkeypatch.setattr(transactions, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(transactions, "PAUSE_SECONDS", 0.01)
    tries = []

    def connect():
        tries.append(1)
        raise OperationalError("", {}, Exception("connection refused"))

    engine = SimpleNamespace(connect=connect, dialect=SimpleNamespace(name="postgresql"))
    with pytest.raises(OperationalError), transactions.transaction(engine):
        pass
    assert len(tries) > 1
    engine.dialect.name, tries[:] = "sqlite", []
    with pytest.raises(OperationalError), transactions.transaction(engine):
        pass
    assert len(tries) == 1  # it has waited by itself


WRITER = """
import sys
from core.store.store import Store
from tests.core.factories import make, perplexity
store = Store()
for number in range(3):
    store.put(make(perplexity(float(number), dataset=f"d{number}")))
    print("put", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.postgres
def test_a_run_survives_a_server_restart(monkeypatch):
    with postgres.server() as server:
        monkeypatch.setenv("SLIMSCOPE_DB", server.new_database())
        store = Store()
        store.get(KEY)  # so that there is a connection to lose
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        writer = subprocess.Popen([sys.executable, "-c", WRITER], cwd=paths.PROJECT, **pipes)
        assert writer.stdout.readline() == "put\n"
        server.stop()
        writer.stdin.write("\n")  # it stores while there is no server
        writer.stdin.flush()
        threading.Timer(1.0, server.start).start()
        assert writer.stdout.readline() == "put\n"
        server.stop()
        server.start()
        _, errors = writer.communicate("\n\n")
        assert (writer.returncode, errors) == (0, "")
        assert len(store.get(KEY).measurements) == 3
        store.put(make(perplexity(9.0)))
        store.engine.dispose()
