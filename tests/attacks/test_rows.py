"""Damaged rows, databases and cached files: what can be read is printed, and the rest is left out or made again."""

import json
import os
import shutil
import sqlite3
import threading
from functools import cache
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.base import paths
from core.store import database
from core.store.store import Store
from tests.attacks.damage import ATTACK, as_json, damaged, damaged_tree, examples
from tests.attacks.machine import BUNDLED, FORMS, RUN, expect, limited, perplexity, print_results
from tests.core.data.task_rows import PIQA, PIQA_FILE, write

pytestmark = ATTACK

MOST_LAYERS = 4  # of a row, so that most changes are elsewhere


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


@examples(1_200)
@given(st.tuples(*[damaged_lines()] * 2), st.tuples(*[st.integers(0, 10**6)] * 2), st.sampled_from(FORMS))
def test_damaged_rows_are_named(empty_place, monkeypatch, bad, good, form):
    some = [*bad, *(lines()[number % len(lines())] for number in good)]
    monkeypatch.setattr(paths, "SHIPPED_MEASURED", empty_place / "rows")
    (empty_place / "rows").mkdir(exist_ok=True)
    (empty_place / "rows" / "rows.jsonl").write_bytes(b"\n".join(some))
    with limited(seconds=60):
        store = Store()
        print_results(store, form)
        read = store.read()
    store.engine.dispose()
    assert len(read.results) + len(read.warnings) >= len(set(some)) - 2


def _page(file, draw):
    content = bytearray(file.read_bytes())
    start = 4096 * draw.randrange(1, max(2, len(content) // 4096))
    content[start : start + 4096] = draw.randbytes(4096)
    file.write_bytes(content)


def _execute(statement):
    return lambda file, draw: sqlite3.connect(file, isolation_level=None).execute(statement)


def _locked(seconds):
    """Return a damage that holds the database for some time, where a writer waits for `BUSY_SECONDS`."""

    def hold(file, draw):
        holder = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        threading.Timer(seconds, holder.rollback).start()

    return hold


BUSY_SECONDS = 2
DAMAGES = {
    "cut": lambda file, draw: os.truncate(file, draw.randrange(1, file.stat().st_size)),
    "empty": lambda file, draw: os.truncate(file, 0),
    "page": _page,
    "locked shortly": _locked(0.5),
    "locked for long": _locked(5 * BUSY_SECONDS),
    **{f"no {table}": _execute(f"DROP TABLE {table}") for table in ("variants", "jobs", "alembic_version")},
    "no version": _execute("DELETE FROM alembic_version"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("first", [("results",), RUN], ids=["results", "run"])
def test_a_damaged_database_is_refused_and_a_good_one_works_again(first, damage, place, machine, draw, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", BUSY_SECONDS)
    file = place / "results" / "local.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(file, place / "good.db")
    DAMAGES[damage](file, draw)
    for words in (first, draw.choice((("results", "--csv"), (*RUN, "--force")))):
        expect(*words)
    for left in file.parent.glob("local.db*"):
        left.unlink()
    shutil.copy(place / "good.db", file)
    expect(*RUN, codes=(0,))
    assert perplexity() == machine.perplexity


CHAINS = (
    *("sparsegpt@0.5", "sparsegpt@0.5+gptq@4bit,group_size=16", "flap@0.3", "svd-llm@0.5"),
    *("magnitude@0.5+lora,epochs=1,rank=2,batch=8", "magnitude@0.3"),
)
SCORED = CHAINS[-1]  # on a task, too


def numbers(chain, windows):
    """Return what a chain measures on some windows, and on as many documents."""
    calibration = () if chain.startswith("magnitude") else ("--calibration", "text.txt:4x32")
    train = ("--train", "text.txt:16x24") if "lora" in chain else ()
    tasks = ("--tasks", f"piqa:{windows}") if chain == SCORED else ()
    words = ("run", "./tiny", chain, *calibration, *train, *tasks, "--perplexity", f"text.txt@32:{windows}", "--json")
    text = expect(*words, codes=(0,))
    content = json.loads(text[text.index("{\n") : text.rindex("}") + 1])
    rows = [(row["protocol"], row["value"]) for row in content["measurements"]]
    return [value for protocol, value in rows if windows in (protocol.get("windows"), protocol.get("limit"))]


@pytest.fixture(scope="module")
def filled(machine, tmp_path_factory):
    """Data of a task, the cache and results after all chains, and by chain the numbers of another request."""
    folder = tmp_path_factory.mktemp("caches")
    write(folder / "data" / PIQA_FILE, PIQA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIMSCOPE_DATA", str(folder / "data"))
        patch.setenv("DISABLE_MULTIPROC", "1")
        with machine.place() as place:
            for chain in CHAINS:
                numbers(chain, 4)
            shutil.copytree(place / "cache", folder / "cache")
            shutil.copytree(place / "results", folder / "results")
            shutil.rmtree(place / "cache")
            yield folder, {chain: numbers(chain, 3) for chain in CHAINS}


def cached(cache, kind):
    """Return the files of one kind in a cache."""
    return sorted(path for path in cache.glob(kind) if path.is_file() and path.suffix != ".lock")


def _flip(content, draw):
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << draw.randrange(8))]) + content[place + 1 :]


BYTES = {
    "a flipped bit": _flip,
    "cut off": lambda content, draw: content[: draw.randrange(len(content))],
    "empty": lambda content, draw: b"",
    "garbage": lambda content, draw: draw.randbytes(len(content)),
    "zeros": lambda content, draw: b"\0" * len(content),
    "longer": lambda content, draw: content + draw.randbytes(8),
    "deleted": lambda content, draw: None,
}
FOLDER = "a folder in its place"
VARIANT = ("checksums.json", "config.json", "constraints.bits", "generation_config.json", "grids.bits", "result.json")
KINDS = (
    *("facts/*", "folders/*", "texts/*", "tokens/*", "requests/*/*", "variants/*/model.safetensors"),
    *("observed/*/checksums.json", "observed/*/observed.safetensors"),
    *(f"variants/*/{name}" for name in (*VARIANT, "modeling_slimscope.py", "references.bits")),
)


def test_every_cached_file_is_of_a_kind_and_every_kind_has_a_file(filled):
    cache = filled[0] / "cache"
    by_kind = {kind: set(cached(cache, kind)) for kind in KINDS}
    assert all(by_kind.values()) and set(cached(cache, "**/*")) == set.union(*by_kind.values())


@pytest.mark.parametrize(("kind", "damage"), product(KINDS, (*BYTES, FOLDER)))
def test_damaged_files_are_made_again(kind, damage, filled, draw, tmp_path, monkeypatch):
    folder, expected = filled
    for name in ("cache", "results"):
        shutil.copytree(folder / name, tmp_path / name)
        monkeypatch.setenv(f"SLIMSCOPE_{name.upper()}", str(tmp_path / name))
    if not kind.startswith("variants"):
        shutil.rmtree(tmp_path / "cache" / "variants")  # a cached variant is measured without its inputs
    for file in cached(tmp_path / "cache", kind):
        content = file.read_bytes()
        file.unlink()
        if damage == FOLDER:
            (file / "inside").mkdir(parents=True)
        elif (changed := BYTES[damage](content or b"x", draw)) is not None:
            file.write_bytes(changed)
    for chain in draw.sample(CHAINS, len(CHAINS)):
        assert numbers(chain, 3) == expected[chain], chain
