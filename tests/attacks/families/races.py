"""Five to eight processes at once on one store, or on two that share a cache: nothing is lost, doubled or mixed up."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

from core.errors import UserError
from core.jobs.queue import Queue
from core.store.store import Store
from tests.attacks.family import Family
from tests.attacks.runs import RUN, Machine, expect, forked, is_intact, perplexity, prepare, same, settle
from tests.core.factories import KEY, make
from tests.core.factories import perplexity as number
from tests.core.queues import spec


def at_once(works: list[Callable[[], object]], log: Path) -> str | None:
    """Run works in forked processes at once; return a sentence where one of them fails."""
    processes = [forked(work, log=log) for work in works]
    for process in processes:
        process.join()
    failed = [process.exitcode for process in processes if process.exitcode]
    return f"{len(failed)} of {len(works)} processes failed: {log.read_text()}" if failed else None


def writers(machine: Machine, draw: random.Random, place: Path) -> str | None:
    """Store numbers of one variant in each process."""
    count = draw.randint(5, 8)

    def write(me: int) -> None:
        store = Store()
        for turn in range(8):
            store.put(make(number(float(turn)), number(1.0, dataset=f"p{me}-{turn}")))

    wrong = at_once([lambda me=me: write(me) for me in range(count)], place / "log")
    found = len(Store().get(KEY).measurements)
    return wrong or (None if found == 8 * count + 1 else f"{found} of {8 * count + 1} numbers are there.")


def submitters(machine: Machine, draw: random.Random, place: Path) -> str | None:
    """Submit the same runs from each process."""

    def submit() -> None:
        queue = Queue(Store())
        for turn in range(6):
            queue.submit(spec(f"run {turn}"))

    wrong = at_once([submit] * draw.randint(5, 8), place / "log")
    found = len(Queue(Store()).jobs())
    return wrong or (None if found == 6 else f"6 runs are {found} jobs.")


def movers(machine: Machine, draw: random.Random, place: Path) -> str | None:
    """Move and cancel the same waiting jobs from each process."""
    queue = Queue(Store())
    ids = queue.submit_all([spec(f"run {turn}") for turn in range(7)])
    places = sorted(job.created for job in queue.jobs())

    def move(me: int) -> None:
        mine, choose = Queue(Store()), random.Random(me)
        for _ in range(15):
            mine.move(choose.choice(ids), later=choose.random() < 0.5)

    wrong = at_once([lambda me=me: move(me) for me in range(draw.randint(5, 8))], place / "log")
    found = sorted(job.created for job in Queue(Store()).jobs())
    return wrong or (None if found == places else "Two jobs have one place.")


def openers(machine: Machine, draw: random.Random, place: Path) -> str | None:
    """Open a store that does not exist yet, and write to it."""
    wrong = at_once([lambda: Store().put(make(number(1.0)))] * draw.randint(5, 8), place / "log")
    return wrong or is_intact()


def deleters(machine: Machine, draw: random.Random, place: Path) -> str | None:
    """Store and delete one variant from each process."""

    def change(me: int) -> None:
        store = Store()
        for turn in range(8):
            store.put(make(number(float(turn), dataset=f"p{me}")))
            try:
                store.delete(KEY)
            except UserError:  # another process was first
                continue

    wrong = at_once([lambda me=me: change(me) for me in range(draw.randint(5, 8))], place / "log")
    return wrong or is_intact()


def runs(machine: Machine, draw: random.Random, place: Path, stores: int = 1) -> str | None:
    """Ask for one run from each process, in one store or in more that share a cache."""

    def run(me: int) -> None:
        os.environ["SLIMSCOPE_RESULTS"] = str(place / f"results-{me % stores}")
        expect(RUN, (0,))

    wrong = at_once([lambda me=me: run(me) for me in range(5)], place / "log")
    for store in range(stores):
        os.environ["SLIMSCOPE_RESULTS"] = str(place / f"results-{store}")
        wrong = wrong or same(perplexity(), machine.perplexity) or is_intact()
    return wrong


STORE_RACES = {race.__name__: race for race in (writers, submitters, movers, openers, deleters)}
RACES = {**STORE_RACES, "runs": runs, "runs in two stores": partial(runs, stores=2)}


def survives(given: tuple[Machine, str], draw: random.Random, place: Path) -> str | None:
    """Let one of the races be run on an empty store."""
    machine, name = given
    os.chdir(machine.folder)
    settle(place)
    return RACES[name](machine, draw, place)


FAMILIES = (Family("races", 3 * len(RACES), survives, prepare, cases=tuple(RACES), isolated=True, seconds=300),)
