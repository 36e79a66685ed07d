"""Exports killed half-way: the folder is whole or not there, and the same export succeeds afterwards."""

from __future__ import annotations

import os
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from core.cli.app import main
from core.store.store import Store
from tests.attacks.family import Family
from tests.attacks.runs import RUN, command, expect, forked, prepare, settle


@dataclass(frozen=True)
class Exported:
    """What an export that is not killed writes, and how long it takes."""

    folder: Path
    results: Path
    key: str
    files: frozenset[str]
    seconds: float


def undisturbed(folder: Path) -> Exported:
    """Run a variant and export it."""
    prepare(folder)
    own = [one.variant for one in Store().results() if one.variant.model == "tiny"]
    key = next(variant.key for variant in own if variant.key != variant.dense_key)
    begun = time.monotonic()
    code, printed = command("export", key, str(folder / "export"))
    if code:
        raise ValueError(f"The undisturbed export ended with {code}: {printed}")
    seconds = time.monotonic() - begun
    return Exported(folder, folder / "undisturbed", key, _files(folder / "export"), seconds)


def _files(folder: Path) -> frozenset[str]:
    return frozenset(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


SHARES = tuple(number / 12 for number in range(1, 13))  # of the length of an export, after which it is killed


def survives(given: tuple[Exported, float], draw: random.Random, place: Path) -> str | None:
    """Kill an export, look at the folder, and export again."""
    exported, share = given
    os.chdir(exported.folder)
    shutil.copytree(exported.results, place / "own")
    settle(place / "own")
    target = place / "export"
    process = forked(main, ["export", exported.key, str(target)])
    time.sleep(draw.uniform(share - 1 / 12, share) * exported.seconds)
    process.kill()
    process.join()
    if target.exists() and _files(target) != exported.files:
        return f"After the kill the folder holds {sorted(_files(target))}."
    if not target.exists():
        expect(("export", exported.key, str(target)), (0,))
    wrong = _files(target) != exported.files
    left = [one.name for one in place.iterdir() if one.name.startswith(".")]
    expect(RUN, (0,))
    return f"The export is not whole: {sorted(_files(target))}, next to it {left}." if wrong else None


FAMILIES = (Family("killed-exports", 12, survives, undisturbed, cases=SHARES, isolated=True, seconds=300),)
