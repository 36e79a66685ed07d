"""Jobs whose worker, supervisor or both are killed or stopped: each ends with the perplexity of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import psutil

from core.jobs import supervisor, worker
from core.jobs.executor import LocalExecutor, _Group, handle_text
from core.jobs.logs import log_file
from core.jobs.queue import Job, Queue
from core.jobs.supervisor import Supervisor
from core.request.complete import complete
from core.specs import Perplexity, TextWindows
from core.store.store import Store
from tests.attacks.family import Family
from tests.attacks.runs import forked, is_intact, perplexity, prepare, same, settle, wait_for
from tests.core.queues import process_of

STAGES = ("load", "compress", "keep", "train", "perplexity")
VICTIMS = ("worker", "supervisor", "both", "stopped", "cancelled while stopped")
CASES = tuple(product(STAGES, VICTIMS))
CHAIN = "magnitude@0.5+lora,steps=4"
PAUSE_SECONDS = 1.0  # of the worker at its stage, so that the disturbance comes at no later one


class Forked(_Group):
    """A worker that is a fork of its supervisor, so that it need not import anything."""

    def __init__(self, job_id: int, token: str, stage: str):
        file = log_file(job_id)
        file.parent.mkdir(parents=True, exist_ok=True)
        self.process = forked(partial(_work, stage), job_id, token, log=file)
        self.pid = self.process.pid
        self.text = handle_text(psutil.Process(self.pid))

    def poll(self) -> str | None:
        self.process.join(0)
        return None if self.process.exitcode is None else f"ended with exit code {self.process.exitcode}"


class Forking(LocalExecutor):
    """Launches forks that pause once, when they reach a stage."""

    def __init__(self, store: Store, stage: str):
        super().__init__(store.url)
        self.stage = stage

    def launch(self, job_id: int, token: str) -> Forked:
        return Forked(job_id, token, self.stage)


def _work(stage: str, job_id: int, token: str) -> int:
    from core.engine import runs

    os.setsid()
    mark = Path(os.environ["SLIMSCOPE_RESULTS"]) / "reached"

    def run(spec: Any, store: Store, progress: Callable) -> Any:
        def reporting(name: str, done: int, total: int, detail: str = "") -> None:
            progress(name, done, total, detail)
            if name == stage and not mark.exists():
                mark.touch()
                time.sleep(PAUSE_SECONDS)

        return runs.run(spec, store, reporting)

    return worker.main(job_id, token, run=run)


def _supervise(stage: str) -> None:
    store = Store()
    mine = Supervisor(store, Forking(store, stage))
    while True:
        mine.step()
        time.sleep(0.05)


def _asked() -> Any:
    """Return the run; where a cancelled training has stored its best so far, the one that goes on from it."""
    train = TextWindows.parse("text.txt:16x32")
    asked = complete("./tiny", CHAIN, train=train, perplexity=[Perplexity.parse("text.txt@32:4")])
    stored = Store().get(asked.variant.key)
    return asked.model_copy(update={"force": stored is not None and stored.variant.cut_short})


def undisturbed(folder: Path) -> tuple[Path, float]:
    """Prepare the machine, and run the job once without any fault."""
    machine = prepare(folder)
    settle(folder / "job")
    mark = folder / "job" / "results" / "reached"
    mark.parent.mkdir()
    mark.touch()
    _ended(Queue(Store()), "none")
    return machine.folder, perplexity()


def _ended(queue: Queue, stage: str) -> Job:
    """Submit the run, supervise until it has ended, and return the job; it is tried again where it failed."""
    job_id = queue.submit(_asked())
    watcher = forked(_supervise, stage)
    try:
        wait_for(lambda: not queue.job(job_id).active)
    finally:
        watcher.kill()
        watcher.join()
    return queue.job(job_id)


def survives(given: tuple[tuple[Path, float], tuple[str, str]], draw: random.Random, place: Path) -> str | None:
    """Disturb a job at one of its stages, and let it, or the same run again, end."""
    (folder, wanted), (stage, victim) = given
    os.chdir(folder)
    settle(place)
    supervisor.GRACE_SECONDS = 2.0
    queue, mark = Queue(Store()), place / "results" / "reached"
    job_id = queue.submit(_asked())
    watcher = forked(_supervise, stage)
    wait_for(lambda: mark.exists() or not queue.job(job_id).active)
    if not mark.exists():
        return f"The job ended as {queue.job(job_id).state} before {stage}: {queue.job(job_id).error}"
    time.sleep(draw.uniform(0.0, 0.8 * PAUSE_SECONDS))
    pid = process_of(queue.job(job_id))
    if victim in ("supervisor", "both"):
        watcher.kill()
        watcher.join()
    signals = {"worker": signal.SIGKILL, "both": signal.SIGKILL, "supervisor": 0}
    if queue.job(job_id).active:
        os.kill(pid, signals.get(victim, signal.SIGSTOP))
    if victim == "cancelled while stopped":
        queue.cancel(job_id)
    elif victim == "stopped":
        time.sleep(draw.uniform(0.0, 3.0))
        os.kill(pid, signal.SIGCONT)
    if victim not in ("supervisor", "both"):
        wait_for(lambda: not queue.job(job_id).active)
        watcher.kill()
        watcher.join()
    state = queue.job(job_id).state
    if victim == "cancelled while stopped" and state not in ("cancelled", "done"):
        return f"The cancelled job ended as {state}."
    last = _ended(queue, "none")
    if last.state != "done":
        return f"The last job ended as {last.state}: {last.error}"
    left = [one for one in psutil.Process().children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]
    return same(perplexity(), wanted) or is_intact() or (f"{len(left)} processes are left." if left else None)


FAMILIES = (Family("kills", len(CASES), survives, undisturbed, cases=CASES, isolated=True, seconds=420),)
