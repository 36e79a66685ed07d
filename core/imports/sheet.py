"""A CSV of one's own numbers, a row a number, under the header of `COLUMNS`. All of it is read, or nothing."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from core.data.cards import TASKS
from core.errors import UserError, unknown
from core.fields import fault
from core.imports.ranges import MOST, check_range
from core.imports.series import (
    KINDS,
    ImportedVariant,
    ImportPreview,
    ModelOf,
    parse_label,
    parse_model,
    parse_ratio,
)
from core.imports.uploads import Upload
from core.outcomes import METRICS
from core.protocols import perplexity_protocol, task_protocol
from core.results import Measurement, Result
from core.specs import DTYPES, UNKNOWN, Perplexity, Task, parse_pattern

MOST_ROWS = 10_000
MOST_SIGNS = 200  # of a cell
MAX_ERRORS = 10  # bad rows that are named
SEPARATORS = {";": "semicolons (;)", "\t": "tabs", "|": "bars (|)"}  # of tables that are no comma-separated values

Cells = Mapping[str, Any]  # of a row, read; None where a cell is empty


class Column(NamedTuple):
    """A column of the CSV: what is in it, and how a cell of it is read."""

    description: str
    parse: Callable[[str], Any]
    needed: bool = False  # in every row


def _number(least: float, most: float, what: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and least <= value <= most):
            raise UserError(f"{text[:20]!r} is not {what}.")
        return value

    return parse


def _whole(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or int(text) < least:
            raise UserError(f"{text[:20]!r} is no whole number from {least} on, of at most nine digits.")
        return int(text)

    return parse


def _one_of(what: str, allowed: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise unknown(what, text[:40], allowed)
        return text

    return parse


def _pattern(text: str) -> str:
    parse_pattern(text)
    return text


def _dataset(text: str) -> str:
    if not re.fullmatch(r"[\w.@+-]{1,60}", text):
        raise UserError(f"{text[:60]!r} is no id of a task or text: at most 60 letters, digits and signs of _ . @ + -.")
    return text


_POSITIVE = _number(1e-6, 1e9, "a number above 0")

COLUMNS: dict[str, Column] = {
    "model": Column("what it was made of: smollm2-135m or another id, or org/name", parse_model, needed=True),
    "label": Column("what the series is called; the same in all its rows", parse_label, needed=True),
    "ratio": Column("share of weights removed, from 0 to below 1", parse_ratio),
    "pattern": Column("N kept of M, such as 2:4, in place of a ratio", _pattern),
    "kind": Column("sparsity (zeros; if empty) or parameters (really gone)", _one_of("kind", KINDS)),
    "metric": Column("perplexity, acc or acc_norm", _one_of("metric", METRICS), needed=True),
    "dataset": Column("a text such as wikitext2, or a task such as piqa", _dataset, needed=True),
    "value": Column("the number; accuracies from 0 to 1", _number(0, MOST, "a number from 0 on"), needed=True),
    "stderr": Column("its standard error", _number(0, MOST, "a number from 0 on")),
    "n": Column("windows or documents behind it", _whole(1), needed=True),
    "window": Column("tokens a window; needed of a text's perplexity", _whole(2)),
    "windows": Column("how many first windows; all if empty", _whole(1)),
    "limit": Column("how many first documents; all if empty", _whole(1)),
    "fewshot": Column("examples in the prompt; needed of a task", _whole(0)),
    "dtype": Column("precision it was measured in: float32, bfloat16, float16", _one_of("dtype", DTYPES)),
    "version": Column("of the task in lm-evaluation-harness, such as 1", _number(0, 1e6, "a number from 0 on")),
    "packed_mb": Column("what the weights take up, MB of 10^6 bytes", _POSITIVE),
    "parameters": Column("those that are not zero, in millions", _POSITIVE),
}
STATED = ("packed_mb", "parameters")  # of a variant, the same in all its rows that say it


def read_sheet(upload: Upload, model_of: ModelOf) -> ImportPreview:
    """Return the variants of a CSV. A `UserError` has a sentence for each bad row: its place and what is allowed."""
    rows, faults = [], []
    for number, cells in _rows(upload):
        try:
            rows.append((number, *_read(cells)))
        except UserError as error:
            faults.append(f"{upload.shown}, row {number}, {error}")
    if not faults and not rows:
        faults.append(f"{upload.shown} has a header and no row.")
    if not faults:
        faults = _clashes(upload.shown, rows)
    if faults:
        more = len(faults) - MAX_ERRORS
        raise UserError("\n".join([*faults[:MAX_ERRORS], *([f"{more} more rows cannot be read."] if more > 0 else [])]))
    groups: dict[ImportedVariant, list[tuple[Measurement, dict[str, float]]]] = {}
    for _, series, row, stated in rows:
        groups.setdefault(series, []).append((row, stated))
    results = []
    for series, found in groups.items():
        details = {name: value for _, stated in found for name, value in stated.items()}
        numbers = tuple(row for row, _ in found)
        results.append(Result(variant=series.variant(model_of, details), footprint=None, measurements=numbers))
    return ImportPreview(tuple(results))


def _rows(upload: Upload) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the cells of each row by column, and its number, the header being row 1."""
    reader = csv.reader(io.StringIO(upload.text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(upload.shown, header)
        for number, row in enumerate(reader, start=2):
            if number > MOST_ROWS + 1:
                raise UserError(f"{upload.shown} has more than {MOST_ROWS} rows, the most that are read.")
            if any(cell.strip() for cell in row):
                if len(row) != len(header):
                    raise UserError(f"{upload.shown}, row {number} has {len(row)} cells, and the header {len(header)}.")
                yield number, dict(zip(header, (cell.strip() for cell in row), strict=True))
    except csv.Error as error:
        raise UserError(f"{upload.shown}, line {reader.line_num} is no CSV: {error}.") from None


def _check_header(name: str, header: Sequence[str]) -> None:
    for separator, shown in SEPARATORS.items():
        if any(separator in column and column.split(separator)[0].strip() in COLUMNS for column in header):
            raise UserError(f"{name} separates its columns by {shown}; save it with commas between them.")
    for column in header:
        if column not in COLUMNS:
            raise UserError(f"{name}: {unknown('column', column[:40], COLUMNS)}")
    if twice := next((column for column in header if header.count(column) > 1), None):
        raise UserError(f"{name} has the column {twice} twice.")
    if missing := [column for column, known in COLUMNS.items() if known.needed and column not in header]:
        raise UserError(f"{name} lacks the column {missing[0]}; its first line is a header of: {', '.join(COLUMNS)}.")


def _read(cells: Mapping[str, str]) -> tuple[ImportedVariant, Measurement, dict[str, float]]:
    """Return the variant, the number and what is stated of the variant's size, of one row."""
    read: dict[str, Any] = dict.fromkeys(COLUMNS)
    for name, text in cells.items():
        if len(text) > MOST_SIGNS:
            raise UserError(f"column {name}: at most {MOST_SIGNS} signs are read.")
        if text:
            try:
                read[name] = COLUMNS[name].parse(text)
            except UserError as error:
                raise UserError(f"column {name}: {error}") from None
    for name, column in COLUMNS.items():
        if column.needed and read[name] is None:
            raise UserError(f"column {name} is empty: {column.description}.")
    if read["ratio"] is not None and read["pattern"]:
        raise UserError("column pattern: a ratio is given, too, and a pattern fixes it; leave one of both empty.")
    series = ImportedVariant(
        model=read["model"],
        label=read["label"],
        ratio=read["ratio"],
        pattern=read["pattern"],
        kind=read["kind"] or KINDS[0],
        dtype=read["dtype"] or UNKNOWN,
    )
    return series, _measurement(read), {name: read[name] for name in STATED if read[name] is not None}


def _measurement(read: Cells) -> Measurement:
    metric, dataset = read["metric"], read["dataset"]
    task = TASKS.get(dataset.partition("@")[0])
    if metric != "perplexity" and task is None:
        raise UserError(f"column dataset: {unknown('task', dataset, TASKS)}")
    try:
        check_range(metric, read["value"])
    except UserError as error:
        raise UserError(f"column value: {error}") from None
    dtype = read["dtype"] or UNKNOWN
    needed, foreign = ("fewshot", ("window", "windows")) if task else ("window", ("limit", "fewshot", "version"))
    if read[needed] is None:
        raise UserError(f"column {needed} is empty: {COLUMNS[needed].description}.")
    if given := [name for name in foreign if read[name] is not None]:
        raise UserError(
            f"column {given[0]}: {dataset} is a {'task' if task else 'text'}, which has none; leave it empty."
        )
    if task:
        protocol = task_protocol(Task(task=dataset, limit=read["limit"]), dtype)
        protocol |= {"fewshot": read["fewshot"], "version": read["version"]}
    else:
        wanted = Perplexity(corpus=dataset, window=read["window"], windows=read["windows"])
        protocol = perplexity_protocol(wanted, dtype)
    try:
        return Measurement(
            metric=metric,
            dataset=dataset,
            value=read["value"],
            stderr=read["stderr"],
            n=read["n"],
            protocol=protocol | {"source": "imported"},
            origin="external",
        )
    except ValidationError as error:
        raise UserError(f"{fault(error)}.") from None


def _clashes(name: str, rows: Sequence[tuple[int, ImportedVariant, Measurement, dict[str, float]]]) -> list[str]:
    """Return a sentence for each row that says again, or otherwise, what an earlier one does."""
    faults: list[str] = []
    numbers: dict[tuple[ImportedVariant, tuple[str, str, str]], int] = {}
    stated: dict[tuple[ImportedVariant, str], tuple[int, float]] = {}
    for number, series, row, sizes in rows:
        first = numbers.setdefault((series, row.identity), number)
        if first != number:
            faults.append(f"{name}, row {number} has the number of row {first}; give it once.")
        for column, size in sizes.items():
            before, value = stated.setdefault((series, column), (number, size))
            if value != size:
                faults.append(f"{name}, row {number}, column {column}: {size:g} is not the {value:g} of row {before}.")
    return faults
