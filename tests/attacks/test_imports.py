"""Imported files, damaged: CSV, results of lm_eval and their samples. What is accepted is stored and printed."""

import json
import os
import shutil
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.base import paths
from core.base.errors import UserError
from core.imports.files import read_imports, store_imports
from core.imports.series import parse_series
from core.imports.uploads import Upload
from core.store.store import Store
from tests.attacks.damage import NUMBERS, as_json, attack, damaged, damaged_tree, examples, odd_bytes
from tests.attacks.machine import FORMS, check_possible, expect, limited, print_results, write_few_bundled
from tests.core.imports.given import ACCURACY, FILES, HEADER, PERPLEXITY, changed

READ = ("results", "versions", "n-shot", "n-samples", "config", "lm_eval_version")
READ += ("chat_template", "system_instruction")
ROWS = (PERPLEXITY, ACCURACY, ACCURACY.replace("acc,", "acc_norm,"), PERPLEXITY.replace("0.5,,", ",2:4,"))


@st.composite
def tables(draw):
    """Draw a CSV, damaged in its cells, its header or as text."""
    header, rows = HEADER, [list(draw(st.sampled_from(ROWS)).split(",")) for _ in range(draw(st.integers(1, 4)))]
    match draw(st.sampled_from(("cells", "cells", "header", "text"))):
        case "cells":
            for _ in range(draw(st.integers(1, 2))):
                row = draw(st.sampled_from(rows))
                place = draw(st.integers(0, len(row) - 1))
                row[place] = draw(st.sampled_from(NUMBERS) | damaged(st.just(row[place]), st.sampled_from(rows[0])))
        case "header":
            header = draw(damaged(st.just(header), st.sampled_from(rows[0])))
    whole = st.just("\n".join([header, *(",".join(row) for row in rows)]))
    return draw(odd_bytes(whole | damaged(whole)).map(lambda content: [Upload("mine.csv", content)]))


@st.composite
def harness_files(draw):
    """Draw a results file of lm_eval and some of its samples, each damaged or not."""
    found = []
    for file in FILES:
        if file.suffix == ".json":
            content = json.loads(file.read_text())
            part = draw(damaged_tree({name: content[name] for name in READ if name in content}))
            text = as_json({**content, **part} if isinstance(part, dict) else part)
        elif draw(st.integers(0, 2)) < 2:
            continue
        else:
            lines = [json.loads(one) for one in file.read_text().splitlines()]
            place = draw(st.integers(0, len(lines) - 1))
            lines[place] = draw(damaged_tree(lines[place]))
            text = b"\n".join(map(as_json, lines))
        if draw(st.integers(0, 11)) == 11:
            text = draw(odd_bytes(damaged(st.just(text.decode()))))
        found.append(Upload(file.name, text))
    return found


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """An empty database that is only read, and its file; few rows are bundled."""
    folder = tmp_path_factory.mktemp("imports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "SHIPPED_MEASURED", folder / "bundled")
        patch.setenv("SLIMSCOPE_RESULTS", str(folder))
        write_few_bundled(folder / "bundled", 1)
        store = Store(f"sqlite:///{folder / 'empty.db'}")
        store.results()
        yield store, folder / "empty.db"


def take(empty, uploads, form, folder):
    """Import files into an empty store; print the store where they are accepted."""
    store, file = empty
    with limited(seconds=60):
        try:
            content = read_imports(uploads, parse_series("smollm2-135m", "lm_eval", "0", None, "sparsity"), store)
        except UserError as error:
            assert str(error).strip()
            return
        for result in content.results:
            check_possible(result)
        shutil.copy(file, folder / "results.db")
        copied = Store(f"sqlite:///{folder / 'results.db'}")
        store_imports(content, copied)
        print_results(copied, form)
        copied.engine.dispose()


UPLOADS = tables() | harness_files()


@examples(10)
@given(UPLOADS, st.sampled_from(FORMS))
def test_damaged_files_are_read_or_refused(empty, tmp_path_factory, uploads, form):
    take(empty, uploads, form, tmp_path_factory.mktemp("one"))


@attack
@examples(3_000)
@given(UPLOADS, st.sampled_from(FORMS))
def test_more_damaged_files_are_read_or_refused(empty, tmp_path, uploads, form):
    take(empty, uploads, form, tmp_path)


MEGABYTES = 10**6
MODEL = ("--model", "smollm2-135m", "--label", "mine", "--ratio", "0.5")
RESULTS = next(file for file in FILES if file.suffix == ".json")
SAMPLES = "samples_piqa_2026-11-26T10-36-11.jsonl"
ROW = HEADER.encode() + b"\n"
# Name of a file, and its content, or the values that a results file has instead.
CONTENTS = {
    "more than 20 MB": ("x.csv", b"x" * (20 * MEGABYTES + 1)),
    "20 MB of one cell": ("x.csv", ROW + b"x" * 19 * MEGABYTES),
    "20 MB of rows": ("x.csv", ROW + f"{PERPLEXITY}\n".encode() * 250_000),
    "20 MB in an open quote": ("x.csv", b'"' + b"x," * 9 * MEGABYTES),
    "20 MB of a JSON text": ("x.json", b'"' + b"x" * 19 * MEGABYTES + b'"'),
    "20 MB of brackets": ("x.json", b"[" * 19 * MEGABYTES),
    "nested in a results file": ("results_x.json", {"configs": json.loads("[" * 400 + "]" * 400)}),
    "more than 50 MB of samples": (SAMPLES, b"x" * (50 * MEGABYTES + 1)),
    "many samples": (SAMPLES, b"{}\n" * 30_000),
    "a nested sample": (SAMPLES, b'{"doc_id": ' + b"[" * 100_000),
}


@attack
@pytest.mark.parametrize("kind", CONTENTS)
def test_a_hostile_file_is_refused(kind, place):
    name, content = CONTENTS[kind]
    (place / name).write_bytes(content if isinstance(content, bytes) else changed(RESULTS, content))
    results = [str(RESULTS)] if name == SAMPLES else []
    expect("import", *results, name, *MODEL, codes=(2,), seconds=150, memory=3)


@attack
def test_what_is_no_file_is_refused(place):
    for target in ("gone.csv", "x.csv", ".", "/dev/urandom", "/dev/null"):
        os.symlink(target, "x.csv")
        expect("import", "x.csv", *MODEL, codes=(2,), memory=3)
        os.unlink("x.csv")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("x.csv")
    expect("import", "x.csv", *MODEL, codes=(2,), memory=3)
