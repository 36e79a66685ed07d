"""Damaged files of samples: no command breaks, the file is named, and the next run brings the samples back."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pandas

from core import paths
from core.cli.compute import add_line
from core.store.store import Store
from tests.attacks.family import Family
from tests.attacks.runs import RUN, Machine, expect, perplexity, prepare, same, settle


def _flip(file: Path, draw: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)


def _change(**columns: Any) -> Callable[[Path, random.Random], None]:
    """Return a damage that gives every row these values."""
    return lambda file, draw: pandas.read_parquet(file).assign(**columns).to_parquet(file)


def _rewrite(change: Callable[[pandas.DataFrame], pandas.DataFrame]) -> Callable[[Path, random.Random], None]:
    return lambda file, draw: change(pandas.read_parquet(file)).to_parquet(file)


def _cut(file: Path, draw: random.Random) -> None:
    os.truncate(file, draw.randrange(file.stat().st_size))


DAMAGES: dict[str, Callable[[Path, random.Random], Any]] = {
    "cut": _cut,
    "empty": lambda file, draw: file.write_bytes(b""),
    "garbage": lambda file, draw: file.write_bytes(b"PAR1" + draw.randbytes(900) + b"PAR1"),
    "flipped": _flip,
    "texts": _change(perplexity="a"),
    "lists": _rewrite(lambda frame: frame.assign(perplexity=[[1.0]] * len(frame))),
    "texts for ids": _change(doc_id="a"),
    "all columns as texts": _rewrite(lambda frame: frame.astype(str)),
    "numbers for datasets": _change(dataset=1),
    "other-number": _change(perplexity=-1.0),
    "no-rows": _rewrite(lambda frame: frame[:0]),
    "no-columns": lambda file, draw: pandas.DataFrame({"x": range(4)}).to_parquet(file),
    "unreadable": lambda file, draw: file.chmod(0),
    "text-file": lambda file, draw: file.write_text("doc_id,perplexity\n0,-1.0\n"),
    "folder": lambda file, draw: (file.unlink(), file.mkdir()),
}
OWNERS = ("local", "bundled")
CASES = tuple(product(OWNERS, DAMAGES))


def _bundle(place: Path) -> None:
    """Make the results of the run bundled ones, so that the user has none."""
    paths.SHIPPED_MEASURED = place / "bundled"
    for result in Store().results():
        if result.variant.model == "tiny":
            add_line(result, paths.SHIPPED_MEASURED / "tiny.jsonl")
    settle(place / "own")


def survives(given: tuple[Machine, tuple[str, str]], draw: random.Random, place: Path) -> str | None:
    """Damage one or all files of samples of a run and print, compare and run again."""
    machine, (owner, damage) = given
    os.chdir(machine.folder)
    settle(place)
    expect(RUN, (0,))
    if owner == "bundled":
        _bundle(place)
    folder = paths.SHIPPED_MEASURED if owner == "bundled" else paths.local_results_dir()
    files = sorted((folder / "samples").rglob("*.parquet"))
    for file in files if draw.random() < 0.5 else [draw.choice(files)]:
        DAMAGES[damage](file, draw)
    own = [one.variant for one in Store().results() if one.variant.model == "tiny"]
    key = next(variant.key for variant in own if variant.key != variant.dense_key)
    for arguments in (("results",), ("results", "--csv"), ("compare", "dense", key[:12])):
        expect(arguments, (0,))
    expect(RUN, (0,))
    return same(perplexity(), machine.perplexity)


FAMILIES = (Family("samples", len(CASES), survives, prepare, cases=CASES, isolated=True, seconds=300),)
