"""A work with the processes that do it, from the view of its user."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Row, select

from core.answers.question import Question
from core.cli.app import main
from core.evaluation.generation.sampling import Sampling
from core.jobs.executor import RAY, Executor
from core.jobs.kinds import RUN, SEARCH
from core.jobs.queue import Queue
from core.jobs.supervisor import ACTIVE
from core.request.complete import complete
from core.request.settings import RunSettings
from core.search import session
from core.search.record import states
from core.specs import Perplexity, TextWindows
from core.store.store import Store
from core.store.tables import jobs
from tests.attacks.machine import FORK, check_intact, forked
from tests.core.queues import kill_tree, until
from tests.core.search.texts import question
from tests.kills.processes import SECONDS, supervise, write
from tests.kills.table import Kill

TEXT, TRAIN = "text.txt@32:4", "text.txt:16x32"
CHAIN = "magnitude@0.5+lora,steps=30"
SWEEP = ("sweep", "--models", "./wide", "--methods", "rtn", "--patterns", "8bit,4bit", "--perplexity", TEXT)
SEARCHED = question(max_mb=0.04, minutes=60)
REPEATED = ("worker", "database")  # after which a work may have failed


class World:
    """A work that a kill interrupts.

    Args:
        kill: The kill, with the work and where it is done.
        server: Of PostgreSQL, if there is one.
        machines: Of the cluster, if there is one.
    """

    def __init__(self, kill: Kill, server: Any = None, machines: Any = None):
        self.kill, self.work, self.server, self.machines = kill, kill.work, server, machines
        self.store = Store()
        self.queue = Queue(self.store, Executor(self.store.url))  # which only submits
        self.supervisor: Any = None  # process
        self.command: Any = None  # process
        self.page: Any = None  # of the dashboard
        self.answer: tuple[str | None, list[Any]] | None = None

    def begin(self) -> None:
        if self.work != "sweep" or self.kill.target == "dashboard":
            self.serve()
        self.ask()

    def serve(self) -> None:
        """Start a supervisor, or a dashboard."""
        self.page, its = FORK.Pipe() if "dashboard" in self.kill or self.work == "question" else (None, None)
        self.supervisor = forked(supervise, its, log=Path("supervisor.log"))

    def ask(self) -> None:
        """Ask for the work, as a user does."""
        self.answer = None
        if self.work == "run":
            settings = RunSettings(train=TextWindows.parse(TRAIN), perplexity=[Perplexity.parse(TEXT)])
            self.queue.submit(complete("./tiny", CHAIN, settings))
        elif self.work == "search":
            session.start(SEARCHED, self.queue)
        elif self.work == "sweep":
            self.command = forked(main, SWEEP, log=Path("command.log"))
        else:
            variants = (complete("./long", "dense").variant,)
            self.page.send(Question(prompt="the a", variants=variants, sampling=Sampling(tokens=500, temperature=1.0)))

    def rows(self) -> list[Row[Any]]:
        """Return the rows of the jobs."""
        with self.store.begin() as connection:
            return list(connection.execute(select(jobs).order_by(jobs.c.id)))

    def active(self) -> list[Row[Any]]:
        return [row for row in self.rows() if row.state in ACTIVE]

    def ended(self) -> bool:
        """Return whether nothing is done any more, nor will be."""
        if self.work == "question":
            self.answer = self.page.recv() if self.answer is None and self.page.poll() else self.answer
        asked = self.answer is None if self.work == "question" else self.command and self.command.is_alive()
        return not asked and not self.active()

    def problem(self) -> str | None:
        """Return why the work is not done although it has ended; None if it is."""
        if self.work == "question":
            return self.answer[0] if self.answer else "no answer"
        if self.work == "sweep":
            return f"it ended with {self.command.exitcode}" if self.command.exitcode else None
        last = self.queue.works()[0]
        return None if last.state == "done" else f"{last.state}: {last.error}"

    def repeat(self, draw: random.Random) -> None:
        """Do what a user does whose work is not done."""
        if self.work in ("run", "search") and draw.random() < 0.5:
            self.queue.retry(self.queue.works()[0].id)
        else:
            self.ask()

    def worker(self) -> psutil.Process | None:
        """Return a process that computes, on Ray that of a run; None if there is none yet, or none any more."""
        if self.work == "question":
            return next(iter(psutil.Process(self.supervisor.pid).children()), None)
        if self.work == "sweep" and self.kill.executor == "local":
            return psutil.Process(self.command.pid)
        kind = SEARCH if self.work == "search" and self.kill.target == "worker" else RUN
        row = next((row for row in self.active() if row.kind == kind and row.handle), None)
        if row is not None and row.handle.startswith(RAY):
            every = psutil.process_iter(["cmdline"])
            return next((one for one in every if row.token in (one.info["cmdline"] or ())), None)
        return None if row is None else psutil.Process(int(row.handle.split()[1]))

    def strike(self, draw: random.Random) -> None:
        """Kill the target, and bring back what its user brings back."""
        target = self.kill.target
        if target == "database":
            self.strike_database(draw.uniform(0, 2))
        elif target == "head":
            port = self.machines.kill_head()
            self.machines.nodes.clear()
            time.sleep(draw.uniform(0, 5))
            self.machines.start_head(port)
            self.machines.add(1)
        elif target in ("worker", "Ray_worker"):
            until(lambda: self.worker() or self.ended(), SECONDS)
            if victim := self.worker():
                (victim if target == "worker" else victim.parent()).kill()
        else:
            own = [one for one in (self.supervisor, self.command) if one]
            for one in own if target == "machine" else own[:1]:
                kill_tree(one.pid) if target == "machine" else one.kill()
                one.join()
            if target == "machine" and self.machines:
                self.machines.kill(self.machines.nodes.pop())
                self.machines.add(1)
            if self.supervisor:
                self.serve()

    def strike_database(self, seconds: float) -> None:
        if self.server is None:
            writer = forked(write, self.store.url.database, locked := Path("locked"))
            until(locked.exists, SECONDS)
            time.sleep(seconds)
            writer.kill()
            writer.join()
            locked.unlink()
        else:
            kill_tree(self.server.process.pid)
            self.server.process.wait()
            time.sleep(seconds)
            self.server.start()

    def interrupted(self) -> bool:
        """Return whether who asked for the work has died with the target."""
        if self.work == "question":
            return self.kill.target in ("dashboard", "machine")
        return self.command is not None and self.command.exitcode == -signal.SIGKILL

    def numbers(self) -> dict[Any, Any]:
        """Return all numbers of the work with their bits, and check that none is there twice."""
        found: dict[Any, Any] = {}
        for key, result, warnings in self.store.own():
            assert result is not None and not warnings, warnings
            found[key] = result.footprint
            for row in result.measurements:
                samples = self.store.samples(key, row)
                assert samples is not None, f"{key} has no samples of {row.identity}"
                found[key, row.identity] = row.value.hex(), row.n, samples.to_csv()
        for state in states(self.store):
            found |= {one.chain: one for one in state.tried}
            assert len({one.chain for one in state.tried}) == len(state.tried)
            if state.certificate:
                found["certificate"] = state.certificate
        if self.answer:
            found["answer"] = self.answer
        return found

    def finish(self, draw: random.Random) -> dict[Any, Any]:
        """Wait for the end of the work, with repetitions where the kill allows them, and return its numbers."""
        if self.interrupted():
            self.repeat(draw)
        until(self.ended, SECONDS)
        if problem := self.problem():
            assert self.kill.target in REPEATED, problem
            self.repeat(draw)
            until(self.ended, SECONDS)
        assert self.problem() is None, self.problem()
        check_intact()
        return self.numbers()

    def end(self) -> None:
        """Kill what is left, which is much only if the test has failed."""
        local = [int(row.handle.split()[1]) for row in self.active() if row.handle and not row.handle.startswith(RAY)]
        for pid in (*(one.pid for one in (self.supervisor, self.command) if one), *local):
            kill_tree(pid)


UNDISTURBED: dict[tuple[str, str], tuple[float, dict[Any, Any]]] = {}  # seconds and numbers, by work and executor


def check(kill: Kill, world: Callable[[Kill], World], draw: random.Random) -> None:
    """Assert that a work has the numbers of an undisturbed one after a kill at a random moment of it."""
    what = kill.work, kill.executor
    if what not in UNDISTURBED:
        alone, begun = world(Kill(*what, "SQLite", "", 0, 1)), time.monotonic()
        alone.begin()
        until(alone.ended, SECONDS)
        seconds = time.monotonic() - begun
        UNDISTURBED[what] = seconds, alone.finish(draw)
    seconds, undisturbed = UNDISTURBED[what]
    moment = draw.uniform(kill.number, kill.number + 1) / kill.count * seconds
    while True:
        mine = world(kill)
        mine.begin()
        time.sleep(moment)
        if not mine.ended():
            break
        moment /= 2  # it was quicker than the undisturbed work
    before, ids = mine.numbers(), {row.id for row in mine.rows()}
    mine.strike(draw)
    after = mine.finish(draw)
    assert after == undisturbed
    assert before.items() <= after.items() and ids <= {row.id for row in mine.rows()}
