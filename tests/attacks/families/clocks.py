"""Clocks set forward and back: new numbers are seen, and living jobs are left alone."""

from __future__ import annotations

import os
import random
import time
from itertools import product
from pathlib import Path

from core.jobs.executor import LocalExecutor
from core.jobs.queue import Queue
from core.jobs.supervisor import Supervisor
from core.jobs.worker import LEASE_SECONDS
from core.store.row_cache import RowCache
from core.store.store import Store
from core.store.tables import jobs
from tests.attacks.family import Family
from tests.attacks.runs import forked, settle
from tests.core.factories import KEY, make, perplexity
from tests.core.queues import change, spec

REAL = time.time


def _shifted(seconds: float) -> None:
    time.time = lambda: REAL() + seconds


def _numbers(seconds: float) -> str | None:
    store = Store()
    known = RowCache(store, lambda result, own: result)
    store.put(make(perplexity(20.0)))
    known.of("m")
    process = forked(lambda: (_shifted(seconds), Store().put(make(perplexity(21.0)))))
    process.join()
    value = known.of("m").values[KEY].measurements[0].value
    return None if value == 21.0 else f"The store has 21 and the reader sees {value}."


def _leases(seconds: float) -> str | None:
    store = Store()
    queue = Queue(store)
    job = queue.submit(spec("wait"))
    beat = queue.job(job).read
    claim = {"token": "t", "handle": "first 7 1.0", "started": beat, "lease": beat + LEASE_SECONDS}
    change(store, job, state="running", **claim)
    _shifted(seconds)
    other = Supervisor(store, LocalExecutor(store.url))
    other.host = other.executor.host = "second"
    other.step()
    state = queue.job(job).state
    return None if state == "running" else f"A clock off by {seconds:g} s made a living job {state}."


def _order(seconds: float) -> str | None:
    store = Store()
    queue = Queue(store)
    first = queue.submit(spec("first"))
    change(store, first, created=jobs.c.created + seconds)
    others = queue.submit_all([spec(f"later {number}") for number in range(3)])
    waiting = [job.id for job in queue.active()]
    return None if waiting == [first, *others] else f"Jobs {[first, *others]} wait as {waiting}."


LOOKS = {"numbers": _numbers, "leases": _leases, "order": _order}
SHIFTS = (-86400.0 * 365, -300.0, -1.0, 300.0, 86400.0)  # seconds
CASES = tuple(product(LOOKS, SHIFTS))


def survives(given: tuple[Path, tuple[str, float]], draw: random.Random, place: Path) -> str | None:
    """Set the clock of one process and look at what another one sees."""
    look, shift = given[1]
    settle(place)
    os.environ.pop("SLIMSCOPE_DB", None)
    return LOOKS[look](shift)


FAMILIES = (Family("clocks", len(CASES), survives, cases=CASES, isolated=True),)
