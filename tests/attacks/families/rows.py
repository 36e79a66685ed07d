"""Bundled rows, damaged: what can be read is tidied and printed, the rest is named and left out."""

from __future__ import annotations

import json
import random
from pathlib import Path

from core import paths
from core.store.store import Store
from tests.attacks.family import Family
from tests.attacks.machine import BUNDLED
from tests.attacks.mutation import mutate
from tests.attacks.reading import print_results
from tests.attacks.trees import as_json, mutate_tree

MOST_LAYERS = 4  # of a row, so that most changes are elsewhere


CASES = (
    *(
        b"{}",
        b"[]",
        b"null",
        b'""',
        b"0",
        b"NaN",
        b"\xff\xfe",
        b"\x00",
        b'{"variant": {}}',
        b'{"variant": null, "layers": []}',
    ),
    *(b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5_000, b'{"variant": ', b'"' + b"x" * 1_000_000 + b'"', b'"\\ud800"'),
)


def prepare(folder: Path) -> list[bytes]:
    """Return the bundled rows, with few layers, as lines; each file begins with the dense model."""
    lines = []
    for file in sorted(BUNDLED.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            lines.append(as_json(row | {"layers": row.get("layers", [])[:MOST_LAYERS]}))
    Store().results()
    return lines


def prints(given: tuple[list[bytes], bytes | None], draw: random.Random, place: Path) -> str | None:
    """Damage two of four rows and print all."""
    lines, case = given
    some = draw.sample(lines, 4)
    for number in range(2):
        if draw.random() < 0.9:
            some[number] = as_json(mutate_tree(json.loads(some[number]), draw))
        else:
            some[number] = mutate(some[number].decode(), draw).encode("utf-8", "replace")
    if case is not None:
        some[0] = case
    paths.SHIPPED_MEASURED = place
    (place / "rows.jsonl").write_bytes(b"\n".join(some))
    store = Store()
    print_results(store, draw)
    read = store.read()
    if len(read.results) + len(read.warnings) < len(set(some)) - 2:
        return f"Of {len(some)} rows {len(read.results)} are read and {len(read.warnings)} named."
    return None


FAMILIES = (Family("rows", 1_500, prints, prepare, cases=CASES, fuzzes=True),)
