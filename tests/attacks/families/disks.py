"""Disks that are full or read-only: each command ends in one sentence, and succeeds once there is room."""

from __future__ import annotations

import ctypes
import os
import random
from pathlib import Path

from core.store.store import Store
from tests.attacks.family import Family
from tests.attacks.runs import RUN, Machine, expect, perplexity, pick, prepare, same, settle
from tests.core.imports.given import HEADER, PERPLEXITY

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


def _fill(folder: Path, draw: random.Random) -> None:
    """Leave few bytes, or none, on a disk."""
    spare = draw.choice((0, 4096, 20_000, 60_000, 200_000))
    with open(folder / "filler", "wb") as file:
        info = os.statvfs(folder)
        file.write(b"x" * max(0, info.f_bavail * info.f_frsize - spare))


def _free(folder: Path) -> None:
    _mount(b"tmpfs", folder, REMOUNT, "size=64m")
    (folder / "filler").unlink(missing_ok=True)


PLACES = ("results", "cache", "save", "import", "delete")


def survives(machine: Machine, draw: random.Random, place: Path) -> str | None:
    """Put one folder on a disk without room, or that cannot be written, run a command, make room, and run again."""
    os.chdir(machine.folder)
    settle(place)
    folder = disk(place)
    where, _ = pick(draw, dict.fromkeys(PLACES))
    how, _ = pick(draw, dict.fromkeys(("full", "read-only")))
    attempt, again = RUN, RUN
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
        (folder / where).mkdir()
    if how == "full":
        _fill(folder, draw)
    else:
        _mount(b"tmpfs", folder, REMOUNT | READ_ONLY)
    expect(attempt)
    _free(folder)
    expect(again, (0,))
    return same(perplexity(), machine.perplexity)


FAMILIES = (Family("disks", 27, survives, prepare, isolated=True, seconds=300),)
