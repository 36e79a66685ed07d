"""Imported files, damaged: CSV, results of lm_eval and their samples. What is accepted is stored and printed."""

from __future__ import annotations

import json
import random
import shutil
from functools import cache
from pathlib import Path

from core.errors import UserError
from core.imports.files import read_imports, store_imports
from core.imports.series import parse_series
from core.imports.uploads import Upload
from core.store.store import Store
from tests.attacks.family import Family
from tests.attacks.machine import use_few_bundled
from tests.attacks.mutation import NUMBERS, mutate
from tests.attacks.reading import impossible_number, print_results
from tests.attacks.trees import as_json, mutate_tree
from tests.core.imports.given import ACCURACY, FILES, HEADER, PERPLEXITY

READ = (
    "results",
    "versions",
    "n-shot",
    "n-samples",
    "config",
    "lm_eval_version",
    "chat_template",
    "system_instruction",
)
ROWS = (PERPLEXITY, ACCURACY, ACCURACY.replace("acc,", "acc_norm,"), PERPLEXITY.replace("0.5,,", ",2:4,"))


CELLS = {
    "model": ("", "=1+1", "[bold]x", "../../x", "x" * 5_000),
    "label": ("", "=1+1", "-inf", "@SUM(A1)", "[/]", "\u202ex", "x" * 5_000),
    "ratio": ("nan", "-0.5", "1", "0.9999999", "1e-324", "٠.٥", "9" * 400),
    "pattern": ("²:4", "2:4", "4:2", "0:0", "9223372036854775808:9223372036854775809"),
    "value": ("nan", "inf", "-5", "0", "1e400", "0x10", "1_0", ""),
    "stderr": ("nan", "-3", "inf", "9" * 400),
    "n": ("-1", "0", "1.5", "9" * 400, "²"),
    "window": ("0", "-1", "9" * 400),
    "dtype": ("float8", "", "\x00"),
    "version": ("nan", "-inf", "9" * 400),
}
CASES = tuple((column, cell) for column, cells in CELLS.items() for cell in cells)


def prepare(folder: Path) -> Path:
    """Write an empty database that every try copies."""
    use_few_bundled(folder / "bundled", rows=1)
    database = folder / "empty.db"
    Store(f"sqlite:///{database}").results()
    return database


def sheet(draw: random.Random) -> list[Upload]:
    """Return a CSV, damaged as text or in its cells."""
    rows = [draw.choice(ROWS).split(",") for _ in range(draw.randint(1, 4))]
    header = HEADER
    change = draw.random()
    if change < 0.5:
        for _ in range(draw.randint(1, 2)):
            row = draw.choice(rows)
            place = draw.randrange(len(row))
            row[place] = draw.choice(NUMBERS) if draw.random() < 0.5 else mutate(row[place], draw, rows[0])
    elif change < 0.6:
        header = mutate(header, draw, rows[0])
    text = "\n".join([header, *(",".join(row) for row in rows)])
    if change > 0.6:
        text = mutate(text, draw, [HEADER])
    return [Upload("mine.csv", _bytes(text, draw))]


def by_hand(column: str, cell: str) -> list[Upload]:
    """Return a CSV of one row with this cell."""
    row = dict(zip(HEADER.split(","), PERPLEXITY.split(","), strict=True)) | {column: cell}
    return [Upload("mine.csv", f"{HEADER}\n{','.join(row.values())}\n".encode())]


def harness(draw: random.Random) -> list[Upload]:
    """Return a results file of lm_eval and most of its samples, each damaged or not."""
    found = []
    for file in FILES:
        if file.suffix == ".json":
            content = json.loads(file.read_text())
            if draw.random() < 0.9:
                part = mutate_tree({name: content[name] for name in READ if name in content}, draw)
                content = {**content, **part} if isinstance(part, dict) else part
            found.append(Upload(file.name, _text_or(as_json(content), draw)))
        elif draw.random() < 0.3:
            lines = [json.loads(line) for line in file.read_text().splitlines()]
            if draw.random() < 0.7:
                place = draw.randrange(len(lines))
                lines[place] = mutate_tree(lines[place], draw)
            found.append(Upload(file.name, _text_or(b"\n".join(map(as_json, lines)), draw)))
    return found


def _text_or(content: bytes, draw: random.Random) -> bytes:
    return _bytes(mutate(content.decode(), draw), draw) if draw.random() < 0.08 else content


def _bytes(text: str, draw: random.Random) -> bytes:
    """Return text as UTF-8, sometimes with a byte that is none."""
    content = text.encode("utf-8", "replace")
    if draw.random() < 0.03:
        place = draw.randint(0, len(content))
        content = content[:place] + draw.choice((b"\xff", b"\xed\xa0\x80", b"\x00", b"\xef\xbb\xbf")) + content[place:]
    return content


def reads_or_refuses(given: tuple[Path, tuple[str, str] | None], draw: random.Random, place: Path) -> str | None:
    """Import damaged files into an empty store; print the store where they are accepted."""
    database, case = given
    uploads = by_hand(*case) if case else sheet(draw) if draw.random() < 0.5 else harness(draw)
    as_series = parse_series("smollm2-135m", "lm_eval", "0", None, "sparsity")
    try:
        content = read_imports(uploads, as_series, _opened(database))
    except UserError as error:
        return None if str(error).strip() else "Refused without a sentence."
    for result in content.results:
        if sentence := impossible_number(result):
            return f"It is accepted that {sentence}"
    copied = place / "results.db"
    shutil.copy(database, copied)
    store = Store(f"sqlite:///{copied}")
    store_imports(content, store)
    print_results(store, draw)
    return None


@cache
def _opened(database: Path) -> Store:
    """Return the empty store, opened once in the process of the tries, which only reads it."""
    return Store(f"sqlite:///{database}")


FAMILIES = (Family("imports", 5_973, reads_or_refuses, prepare, cases=CASES, fuzzes=True),)
