"""Damaged bundled rows and samples: what can be read is printed, the rest is named and left out."""

import json
import os
from functools import cache

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import paths
from core.cli.compute import add_line
from core.store.store import Store
from tests.attacks.damage import ATTACK, as_json, damaged, damaged_tree, examples
from tests.attacks.machine import BUNDLED, RUN, expect, limited, perplexity
from tests.attacks.reading import FORMS, print_results

pytestmark = ATTACK

MOST_LAYERS = 4  # of a row, so that most changes are elsewhere
CASES = (
    *(b"{}", b"[]", b"null", b'""', b"0", b"NaN", b"\xff\xfe", b"\x00", b'{"variant": {}}', b'{"variant": '),
    *(b'{"variant": null, "layers": []}', b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5_000, b'"\\ud800"'),
    b'"' + b"x" * 1_000_000 + b'"',
)


@cache
def lines():
    """Return the bundled rows, with few layers."""
    rows = [json.loads(line) for file in sorted(BUNDLED.glob("*.jsonl")) for line in file.read_text().splitlines()]
    return [as_json(row | {"layers": row.get("layers", [])[:MOST_LAYERS]}) for row in rows]


@st.composite
def damaged_lines(draw):
    """Draw a row that is damaged as a tree, or sometimes as text."""
    line = lines()[draw(st.integers(0, len(lines()) - 1))]
    if draw(st.integers(0, 9)) < 9:
        return as_json(draw(damaged_tree(json.loads(line))))
    return draw(damaged(st.just(line.decode()))).encode("utf-8", "replace")


def print_lines(some, form, place, monkeypatch):
    """Print all of some lines, of which two are damaged."""
    monkeypatch.setattr(paths, "SHIPPED_MEASURED", place / "rows")
    (place / "rows").mkdir(exist_ok=True)
    (place / "rows" / "rows.jsonl").write_bytes(b"\n".join(some))
    with limited(seconds=60):
        store = Store()
        print_results(store, form)
        read = store.read()
    store.engine.dispose()
    assert len(read.results) + len(read.warnings) >= len(set(some)) - 2


@examples(1_200)
@given(st.tuples(*[damaged_lines()] * 2), st.tuples(*[st.integers(0, 10**6)] * 2), st.sampled_from(FORMS))
def test_damaged_rows_are_named(empty_place, monkeypatch, bad, good, form):
    print_lines([*bad, *(lines()[number % len(lines())] for number in good)], form, empty_place, monkeypatch)


@pytest.mark.parametrize("case", CASES, ids=map(str, range(len(CASES))))
def test_a_line_that_is_no_row_is_named(case, empty_place, monkeypatch):
    for form in FORMS:
        print_lines([case, *lines()[:3]], form, empty_place, monkeypatch)


def _flip(file, draw):
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)


def _rewrite(change):
    return lambda file, draw: change(pandas.read_parquet(file)).to_parquet(file)


DAMAGES = {
    "cut": lambda file, draw: os.truncate(file, draw.randrange(file.stat().st_size)),
    "flipped": _flip,
    "texts for ids": _rewrite(lambda frame: frame.assign(doc_id="a")),
    "all columns as texts": _rewrite(lambda frame: frame.astype(str)),
    "numbers for datasets": _rewrite(lambda frame: frame.assign(dataset=1)),
    "other number": _rewrite(lambda frame: frame.assign(perplexity=-1.0)),
    "no rows": _rewrite(lambda frame: frame[:0]),
    "no columns": lambda file, draw: pandas.DataFrame({"x": range(4)}).to_parquet(file),
    "text file": lambda file, draw: file.write_text("doc_id,perplexity\n0,-1.0\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("owner", ["local", "bundled"])
def test_damaged_samples_are_made_again(owner, damage, place, machine, draw, monkeypatch):
    folder = place / "results"
    if owner == "bundled":  # and the user has none
        folder = place / "bundled"
        monkeypatch.setattr(paths, "SHIPPED_MEASURED", folder)
        for result in Store().results():
            if result.variant.model == "tiny":
                add_line(result, folder / "tiny.jsonl")
        monkeypatch.setenv("SLIMSCOPE_RESULTS", str(place / "own"))
    files = sorted((folder / "samples").rglob("*.parquet"))
    for file in draw.choice((files, [draw.choice(files)])):
        DAMAGES[damage](file, draw)
    for words in (["results"], ["results", "--csv"], ["compare", "dense", machine.key[:12]]):
        expect(*words, codes=(0,))
    expect(*RUN, codes=(0,))
    assert perplexity() == machine.perplexity
