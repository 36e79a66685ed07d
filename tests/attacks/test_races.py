"""Five to eight processes at once on one store, or on two that share a cache: nothing is lost, doubled or mixed up."""

import os
import random
import threading
import time
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.jobs.queue import Queue
from core.store import database
from core.store.store import Store
from tests import postgres
from tests.attacks.damage import ATTACK
from tests.attacks.machine import RUN, check_intact, expect, forked, perplexity
from tests.core.factories import KEY, make
from tests.core.factories import perplexity as number
from tests.core.queues import spec

pytestmark = ATTACK

PASSWORD = "canary-of-the-password"
UPGRADE = database._upgrade  # before a fixture replaces it by a quick one


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def any_store(request, empty_place, monkeypatch):
    """An empty store of each kind."""
    monkeypatch.setattr(database, "_upgrade", UPGRADE)
    if request.param == "postgresql":
        monkeypatch.setenv("SLIMSCOPE_DB", request.getfixturevalue("postgres_server").new_database())


@pytest.fixture
def own_server(empty_place, monkeypatch):
    """A PostgreSQL server that the test may end, with an empty store."""
    with postgres.server() as server:
        monkeypatch.setenv("SLIMSCOPE_DB", server.new_database())
        yield server


def in_each(work, count):
    """Call `work(number)` in this many forked processes at once, of which none may fail."""
    log = Path("log").resolve()
    processes = [forked(work, number, log=log) for number in range(count)]
    for process in processes:
        process.join()
    failed = [process.exitcode for process in processes if process.exitcode]
    assert not failed, log.read_text()


def test_no_number_of_concurrent_writers_is_lost(any_store, draw):
    count = draw.randint(5, 8)

    def write(me):
        store = Store()
        for turn in range(8):
            store.put(make(number(float(turn)), number(1.0, dataset=f"p{me}-{turn}")))

    in_each(write, count)
    assert len(Store().get(KEY).measurements) == 8 * count + 1
    check_intact()


def test_jobs_moved_at_once_keep_their_places(any_store, draw):
    queue = Queue(Store())
    ids = queue.submit_all([spec(f"run {turn}") for turn in range(7)])
    places = sorted(job.created for job in queue.jobs())

    def move(me):
        mine, choose = Queue(Store()), random.Random(me)
        for _ in range(15):
            mine.move(choose.choice(ids), later=choose.random() < 0.5)

    in_each(move, draw.randint(5, 8))
    assert sorted(job.created for job in Queue(Store()).jobs()) == places


def test_a_variant_is_stored_and_deleted_at_once(any_store, draw):
    def alter(me):
        store = Store()
        for turn in range(8):
            store.put(make(number(float(turn), dataset=f"p{me}")))
            try:
                store.delete(KEY)
            except UserError:  # another process was first
                continue

    in_each(alter, draw.randint(5, 8))
    check_intact()


@pytest.mark.parametrize("stores", [1, 2])
def test_one_run_in_five_processes_gives_one_number(stores, empty_place, machine, monkeypatch):
    def run(me):
        os.environ["SLIMSCOPE_RESULTS"] = str(empty_place / f"results-{me % stores}")
        expect(*RUN, codes=(0,), seconds=240)

    in_each(run, 5)
    for store in range(stores):
        monkeypatch.setenv("SLIMSCOPE_RESULTS", str(empty_place / f"results-{store}"))
        assert perplexity() == machine.perplexity
        check_intact()


@pytest.mark.postgres
def test_no_number_is_lost_while_the_server_restarts(own_server, draw):
    pauses = draw.uniform(0.0, 0.5), draw.uniform(0.0, 2.0)

    def restart():
        time.sleep(pauses[0])
        own_server.stop()
        time.sleep(pauses[1])
        own_server.start()

    store = Store()
    restarting = threading.Thread(target=restart)
    restarting.start()
    turn = 0
    while restarting.is_alive() or turn < 10:
        store.put(make(number(1.0, dataset=f"d{turn}")))
        turn += 1
    assert len(store.get(KEY).measurements) == turn


@pytest.mark.postgres
def test_an_unreachable_server_is_named_without_its_password(own_server, monkeypatch):
    url = os.environ["SLIMSCOPE_DB"].replace("postgres@", f"postgres:{PASSWORD}@")
    monkeypatch.setenv("SLIMSCOPE_DB", url)
    own_server.stop()
    assert PASSWORD not in expect("results", codes=(2,))
