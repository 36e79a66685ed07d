"""The races, two machines and a restarting server, on a PostgreSQL server of the family's own."""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

from core.jobs.executor import LocalExecutor
from core.jobs.queue import Queue
from core.jobs.supervisor import Supervisor
from core.store.store import Store
from tests import postgres
from tests.attacks.families import races
from tests.attacks.families.clocks import LOOKS
from tests.attacks.family import Family
from tests.attacks.runs import expect, settle
from tests.core.factories import KEY, make, perplexity
from tests.core.queues import change, spec

PROGRAM = str((postgres.binaries() or Path()) / "postgres")
PASSWORD = "canary-of-the-password"


def restarts(draw: random.Random, place: Path, server: postgres.Server) -> str | None:
    """Restart the server while numbers are stored."""

    def restart() -> None:
        time.sleep(draw.uniform(0.0, 0.5))
        server.stop()
        time.sleep(draw.uniform(0.0, 2.0))
        server.start()

    store = Store()
    restarting = threading.Thread(target=restart)
    restarting.start()
    turn = 0
    while restarting.is_alive() or turn < 10:
        store.put(make(perplexity(1.0, dataset=f"d{turn}")))
        turn += 1
    found = len(store.get(KEY).measurements)
    return None if found == turn else f"{found} of {turn} numbers are there."


def machines(draw: random.Random, place: Path, server: postgres.Server) -> str | None:
    """Let five machines take jobs of one queue; no job is taken twice."""
    store = Store()
    queue = Queue(store)
    ids = queue.submit_all([spec(f"run {turn}") for turn in range(20)])
    for job in ids:
        change(store, job, host=None)  # so that any machine takes it

    def take(me: int) -> None:
        store = Store()
        mine = Supervisor(store, LocalExecutor(store.url, ("/bin/true",)))
        mine.host = mine.executor.host = f"machine {me}"
        for _ in range(20):
            mine.step()
            time.sleep(0.02)

    wrong = races.at_once([lambda me=me: take(me) for me in range(5)], place / "log")
    attempts = [queue.job(job).attempts for job in ids]
    return wrong or (None if max(attempts) == 1 else f"Jobs were started {attempts} times.")


def unreachable(draw: random.Random, place: Path, server: postgres.Server) -> str | None:
    """Print results while no server runs; one sentence refuses it and hides the password."""
    os.environ["SLIMSCOPE_DB"] = os.environ["SLIMSCOPE_DB"].replace("postgres@", f"postgres:{PASSWORD}@")
    server.stop()
    _, printed = expect(("results",), (2,))
    return "The password is printed." if PASSWORD in printed else None


ATTACKS: dict[str, Callable[[random.Random, Path, postgres.Server], str | None]] = {
    **{name: lambda *given, race=race: race(None, *given[:2]) for name, race in races.STORE_RACES.items()},
    **{
        f"{name} at {shift:+g} s": lambda *_, look=look, shift=shift: look(shift)
        for (name, look), shift in product(LOOKS.items(), (-300.0, 300.0))
    },
    "restarts": restarts,
    "machines": machines,
    "unreachable": unreachable,
}


def survives(given: tuple[Path, str], draw: random.Random, place: Path) -> str | None:
    """Start a server, and let one of the attacks be run on an empty database."""
    settle(place)
    with tempfile.TemporaryDirectory() as cache, postgres.server() as server:
        os.environ.update(SLIMSCOPE_DB=server.new_database(), SLIMSCOPE_CACHE=cache)
        return ATTACKS[given[1]](draw, place, server)


FAMILIES = (
    Family("postgresql", len(ATTACKS), survives, cases=tuple(ATTACKS), needs=PROGRAM, isolated=True, seconds=300),
)
