"""Damaged files of samples: no command breaks, the file is named, and the next run brings the samples back."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pandas

from core.store.store import Store
from tests.attacks.family import Family
from tests.attacks.runs import RUN, Machine, expect, perplexity, pick, prepare, same, settle


def _flip(file: Path, draw: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)


def _replace(column: list) -> Callable[[Path, random.Random], None]:
    return lambda file, draw: pandas.DataFrame({"doc_id": range(4), "perplexity": column}).to_parquet(file)


def _cut(file: Path, draw: random.Random) -> None:
    os.truncate(file, draw.randrange(file.stat().st_size))


CASES = {
    "cut": _cut,
    "empty": lambda file, draw: file.write_bytes(b""),
    "garbage": lambda file, draw: file.write_bytes(b"PAR1" + draw.randbytes(900) + b"PAR1"),
    "flipped": _flip,
    "texts": _replace(["a", "b", "c", "d"]),
    "lists": _replace([[1.0]] * 4),
    "other-number": _replace([-1.0] * 4),
    "no-rows": lambda file, draw: pandas.DataFrame({"doc_id": [], "perplexity": []}).to_parquet(file),
    "no-columns": lambda file, draw: pandas.DataFrame({"x": range(4)}).to_parquet(file),
    "unreadable": lambda file, draw: file.chmod(0),
    "text-file": lambda file, draw: file.write_text("doc_id,perplexity\n0,-1.0\n"),
}


def survives(machine: Machine, draw: random.Random, place: Path) -> str | None:
    """Damage one or all files of samples of a run and print, compare and run again."""
    os.chdir(machine.folder)
    settle(place)
    expect(RUN, (0,))
    files = sorted((place / "results" / "samples").glob("*/*.parquet"))
    _, damage = pick(draw, CASES)
    for file in files if draw.random() < 0.5 else [draw.choice(files)]:
        damage(file, draw)
    own = [one.variant for one in Store().results() if one.variant.model == "tiny"]
    key = next(variant.key for variant in own if variant.key != variant.dense_key)
    for arguments in (("results",), ("results", "--csv"), ("compare", "dense", key[:12])):
        expect(arguments, (0,))
    expect(RUN, (0,))
    return same(perplexity(), machine.perplexity)


FAMILIES = (Family("samples", 12, survives, prepare, isolated=True, seconds=300),)
