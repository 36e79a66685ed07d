"""Disks that are full or read-only: each command ends in one sentence, and succeeds once there is room."""

from __future__ import annotations

import ctypes
import os
import random
from itertools import product
from pathlib import Path

from core.jobs.executor import LocalExecutor
from core.jobs.queue import Queue
from core.store.store import Store
from tests.attacks.family import Family
from tests.attacks.runs import RUN, TEXT, Machine, expect, perplexity, prepare, same, settle, wait_for
from tests.core.imports.given import HEADER, PERPLEXITY
from tests.core.queues import FAKE, spec

NEW_MOUNTS, READ_ONLY, REMOUNT, PRIVATE = 0x00020000, 1, 32, 1 << 18 | 1 << 14  # of Linux
LIBC = ctypes.CDLL(None, use_errno=True)


def _mount(kind: bytes | None, place: Path, flags: int = 0, options: str = "") -> None:
    if LIBC.mount(kind, str(place).encode(), kind, flags, options.encode()):
        raise OSError(ctypes.get_errno(), "A file system cannot be mounted")


def disk(place: Path) -> Path:
    """Mount a disk of 64 MB in memory that only this process sees, and return its folder."""
    if LIBC.unshare(NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "The mounts cannot be made private; run this as root")
    _mount(None, Path("/"), PRIVATE)
    folder = place / "disk"
    folder.mkdir()
    _mount(b"tmpfs", folder, options="size=64m")
    return folder


def _fill(folder: Path, spare: int) -> None:
    """Leave some bytes on a disk."""
    with open(folder / "filler", "wb") as file:
        info = os.statvfs(folder)
        file.write(b"x" * max(0, info.f_bavail * info.f_frsize - spare))


def _free(folder: Path) -> None:
    _mount(b"tmpfs", folder, REMOUNT, "size=64m")
    (folder / "filler").unlink(missing_ok=True)


PLACES = ("results", "cache", "save", "sweep", "import", "delete", "queue")
STATES = ("full", "nearly full", "read-only")
CASES = tuple(product(PLACES, STATES))
SWEEP = ("sweep", "--models", "./tiny", "--methods", "svd", "--ratios", "0.1:0.9:0.1", *TEXT)


def _end(folder: Path, state: str, draw: random.Random) -> None:
    """Take the room of a disk, or make it read-only."""
    if state == "read-only":
        _mount(b"tmpfs", folder, REMOUNT | READ_ONLY)
    else:
        _fill(folder, 0 if state == "full" else draw.choice((4096, 20_000, 60_000, 200_000)))


def _queue(place: Path, folder: Path, state: str, draw: random.Random) -> str | None:
    """Start a queue whose results folder has no room, and whose database has; it must run its job once there is."""
    os.environ.update(SLIMSCOPE_RESULTS=str(folder / "results"), SLIMSCOPE_DB=f"sqlite:///{place / 'jobs.db'}")
    _end(folder, state, draw)
    store = Store()
    queue = Queue(store, LocalExecutor(store.url, FAKE))
    queue.start()
    if state == "read-only":
        wait_for(lambda: queue.problem is not None)
    queue.start()
    _free(folder)
    job = queue.submit(spec("steps"))
    wait_for(lambda: not queue.job(job).active)
    queue.stop()
    ended = queue.job(job)
    return None if ended.state == "done" else f"The job ended as {ended.state}: {ended.error}"


def survives(given: tuple[Machine, tuple[str, str]], draw: random.Random, place: Path) -> str | None:
    """Put one folder on a disk without room, or that cannot be written, run a command, make room, and run again."""
    machine, (where, state) = given
    os.chdir(machine.folder)
    settle(place)
    folder = disk(place)
    if where == "queue":
        return _queue(place, folder, state, draw)
    attempt, again = SWEEP if where == "sweep" else RUN, RUN
    if where == "cache":
        os.environ["SLIMSCOPE_CACHE"] = str(folder / "cache")
    elif where == "save":
        attempt = (*RUN, "--save", str(folder / "saved"))
        again = (*RUN, "--save", str(folder / "saved-again"))
    else:
        os.environ["SLIMSCOPE_RESULTS"] = str(folder / "results")
    if where in ("import", "delete"):
        expect(RUN, (0,))
        (place / "mine.csv").write_text(f"{HEADER}\n{PERPLEXITY}\n")
        store = Store()
        key = min(store.local_keys())
        store.engine.dispose()  # a disk with a file that is open for writing cannot be made read-only
        attempt = ("import", str(place / "mine.csv")) if where == "import" else ("delete", key)
    elif draw.random() < 0.5:
        (folder / ("results" if where == "sweep" else where)).mkdir()
    _end(folder, state, draw)
    expect(attempt)
    _free(folder)
    expect(again, (0,))
    return same(perplexity(), machine.perplexity)


FAMILIES = (Family("disks", len(CASES), survives, prepare, cases=CASES, isolated=True, seconds=300),)
