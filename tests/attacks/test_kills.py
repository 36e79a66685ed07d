"""Stopped jobs, killed exports, and several processes at once on one store or cache. `tests/kills` kills the rest."""

import os
import random
import shutil
import signal
import threading
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from core.base.errors import UserError
from core.cli.app import main
from core.jobs import supervisor, worker
from core.jobs.executor import Executor
from core.jobs.queue import Queue
from core.jobs.supervisor import Supervisor
from core.request.complete import complete
from core.request.settings import RunSettings
from core.shipping import export
from core.shipping.proof import ExportCheck
from core.specs import Perplexity, TextWindows
from core.store import database
from core.store.store import Store
from tests import databases
from tests.attacks.damage import ATTACK
from tests.attacks.machine import RUN, check_intact, expect, forked, perplexity
from tests.core.factories import KEY, make
from tests.core.factories import perplexity as number
from tests.core.queues import kill_tree, process_of, spec, until
from tests.kills.processes import Forked

pytestmark = ATTACK

STAGES = ("load", "compress", "keep", "train", "perplexity")
VICTIMS = ("stopped", "cancelled while stopped")
SECONDS = 240  # in which each job must end
CHAIN = "magnitude@0.5+lora,steps=4"
PAUSE_SECONDS = 1.0  # of the worker at its stage, so that the disturbance comes at no later one


class Forking(Executor):
    """Launches forks that pause once, when they reach a stage."""

    def __init__(self, store, stage):
        super().__init__(store.url)
        self.stage = stage

    def launch(self, job_id, token, spec):
        return Forked(partial(_work, self.stage), job_id, token)


def _mark():
    """Return the file that the worker makes when it reaches its stage."""
    return Path(os.environ["SLIMSCOPE_RESULTS"]) / "reached"


def _work(stage, job_id, token):
    from core.engine import runs

    def run(spec, store, progress):
        def reporting(name, done, total, detail=""):
            progress(name, done, total, detail)
            if name == stage and not _mark().exists():
                _mark().touch()
                time.sleep(PAUSE_SECONDS)

        return runs.run(spec, store, reporting)

    return worker.main(job_id, token, run=run)


def _supervise(stage):
    store = Store()
    mine = Supervisor(store, Forking(store, stage))
    while True:
        mine.step()
        time.sleep(0.05)


def _wanted():
    """Return the run; where a cancelled training has stored its best so far, the one that goes on from it."""
    train = TextWindows.parse("text.txt:16x32")
    spec = complete("./tiny", CHAIN, RunSettings(train=train, perplexity=[Perplexity.parse("text.txt@32:4")]))
    stored = Store().get(spec.variant.key)
    return spec.model_copy(update={"force": stored is not None and stored.variant.cut_short})


def _end(queue):
    """Submit the run, supervise it without a fault, and return its perplexity."""
    job = queue.submit(_wanted())
    watcher = forked(_supervise, "none")
    try:
        until(lambda: not queue.job(job).active, SECONDS)
    finally:
        watcher.kill()
        watcher.join()
    assert queue.job(job).state == "done", queue.job(job).error
    return perplexity()


@pytest.fixture(scope="module")
def undisturbed(machine):
    """The perplexity of the run without a fault."""
    with machine.place(filled=False):
        return _end(Queue(Store()))


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_disturbed_job_or_its_repetition_ends_with_its_number(
    stage, victim, undisturbed, empty_place, draw, monkeypatch
):
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 2.0)
    queue = Queue(Store())
    job = queue.submit(_wanted())
    watcher = forked(_supervise, stage)
    try:
        until(lambda: _mark().exists() or not queue.job(job).active, SECONDS)
        assert _mark().exists(), queue.job(job).error
        time.sleep(draw.uniform(0.0, 0.8 * PAUSE_SECONDS))
        pid = process_of(queue.job(job))
        if queue.job(job).active:
            os.kill(pid, signal.SIGSTOP)
        if victim == "cancelled while stopped":
            queue.cancel(job)
        else:
            time.sleep(draw.uniform(0.0, 3.0))
            os.kill(pid, signal.SIGCONT)
        until(lambda: not queue.job(job).active, SECONDS)
        if victim == "cancelled while stopped":
            assert queue.job(job).state in ("cancelled", "done")
    finally:
        watcher.kill()
        watcher.join()
    assert _end(queue) == undisturbed
    check_intact()
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def _files(folder):
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_a_killed_export_is_whole_or_not_there_and_the_next_one_succeeds(place, machine, draw, monkeypatch):
    # A check starts a process of its own, which takes long.
    monkeypatch.setattr(export, "verify_export", lambda *_: ExportCheck(reason="not read here."))
    begun = time.monotonic()
    expect("export", machine.key, "undisturbed", codes=(0,))
    files, seconds = _files(place / "undisturbed"), time.monotonic() - begun
    for part in range(12):  # of the length of an export, after which it is killed
        process = forked(main, ["export", machine.key, f"export-{part}"])
        time.sleep(draw.uniform(part, part + 1) / 12 * seconds)
        kill_tree(process.pid)
        process.join()
        target = place / f"export-{part}"
        if not target.exists():
            expect("export", machine.key, target.name, codes=(0,))
        assert _files(target) == files
        expect(*RUN, codes=(0,))
        shutil.rmtree(place / "cache")  # the next export computes the variant, too


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
    with databases.server() as server:
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
