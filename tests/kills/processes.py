"""The processes of the kills: forks, which need not import anything."""

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from core.jobs import kinds, queue, worker
from core.jobs.executor import End, Executor, LocalHandle, handle_text
from core.jobs.logs import log_file
from core.jobs.queue import Queue
from core.store.slots import slots
from core.store.store import Store
from tests.attacks.machine import forked
from tests.kills.searcher import SEARCHER
from tests.kills.worker import WORKER

SECONDS = 300  # that only a hang takes
MADE_UP = {kinds.WORKER: WORKER, kinds.SEARCHER: SEARCHER}
launch_process = Executor.launch


class Forked(LocalHandle):
    """A job's process that is a fork of its supervisor."""

    def __init__(self, work: Callable[..., int], job_id: int, token: str):
        log_file(job_id).parent.mkdir(parents=True, exist_ok=True)
        self.fork = forked(_lead, work, str(job_id), token, log=log_file(job_id))
        process = psutil.Process(self.fork.pid)
        super().__init__(process, handle_text(process))

    def poll(self) -> End | None:
        self.fork.join(0)
        return None if self.fork.exitcode is None else End(f"ended with exit code {self.fork.exitcode}")


def _lead(work: Callable[..., int], *arguments: str) -> int:
    os.setsid()
    return work(*arguments)


def _afresh(work: Callable[..., int], *arguments: str) -> int:
    """Work without the lock and the pipes of the supervisor, which a new program would not have either."""
    os.closerange(3, 1024)
    queue._on_ray.cache_clear()
    return work(*arguments)


def launch(self: Executor, job_id: int, token: str, spec: str) -> Any:
    """Launch a job as `Executor` does; a program of several threads cannot be forked safely."""
    if self.command == kinds.WORKER and slots() == 1:
        return Forked(partial(_afresh, worker.main), job_id, token)
    self.command = MADE_UP.get(self.command, self.command)
    return launch_process(self, job_id, token, spec)


class ForkedAnswers:
    """The process of the answers, as `subprocess.Popen`."""

    def __init__(self, *_: Any, **__: Any):
        (commands, own), (its, events) = os.pipe(), os.pipe()
        self.stdin, self.stdout = os.fdopen(own, "w"), os.fdopen(its)
        self.process = forked(_answer, commands, events, own, its)
        self.pid = self.process.pid
        os.close(commands)
        os.close(events)

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int | None:
        self.process.join()
        return self.process.exitcode


def _answer(commands: int, events: int, *others: int) -> None:
    from core.answers.worker import serve

    for one in others:
        os.close(one)
    serve(os.fdopen(commands), os.fdopen(events, "w"))


def supervise(page: Connection | None) -> None:
    """Supervise; a dashboard also asks what its page sends, and returns the answers."""
    from core.answers.client import Answerer

    queue, answerer = Queue(Store()), Answerer()
    queue.start()
    while page is not None:
        asked = page.recv()
        queue.stop()  # the process of the answers would inherit the locks that a thread holds
        answers = answerer.ask(asked)
        queue.start()
        while answers.active:
            time.sleep(0.02)
        page.send((answers.error, [one.tokens for one in answers.answers]))
    signal.pause()


def write(file: str, locked: Path) -> None:
    """Hold the lock of a SQLite database, with changes that are never committed."""
    connection = sqlite3.connect(file, timeout=SECONDS, isolation_level=None)
    connection.execute("PRAGMA cache_size=1")  # so that the journal has them
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE jobs SET spec = 'lost', state = 'done', token = NULL")
    connection.execute("UPDATE measurements SET data = hex(randomblob(50000))")
    locked.touch()
    signal.pause()
