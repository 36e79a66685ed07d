"""Stopped jobs, which end with the number of an undisturbed run, and killed exports. `tests/kills` kills the rest."""

import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

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
from core.store.store import Store
from tests.attacks.damage import ATTACK
from tests.attacks.machine import RUN, check_intact, expect, forked, perplexity
from tests.core.queues import kill_tree, process_of, until
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
