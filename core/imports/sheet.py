"""CSV files with one number per row, under the header of `COLUMNS`.

A file is read in full or not at all.
"""

import csv
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from pydantic import ValidationError

from core.amount import Amount, Pattern
from core.base.errors import UserError, counted, unknown
from core.data.cards import TASKS
from core.fields import fault
from core.imports.series import (
    KINDS,
    MOST,
    ImportedVariant,
    ImportPreview,
    ModelOf,
    check_range,
    parse_kind,
    parse_label,
    parse_model,
    parse_ratio,
)
from core.imports.uploads import Upload
from core.metrics import METRICS, metric
from core.protocols import perplexity_protocol, task_protocol
from core.results import Measurement, Result
from core.specs import DTYPES, UNKNOWN, Perplexity, Scalar, Task

MOST_ROWS = 10_000
MOST_SIGNS = 200  # characters of a cell
MAX_FAULTS = 100  # that one error names
SEPARATORS = {";": "semicolons (;)", "\t": "tabs", "|": "bars (|)"}  # of tables that are not comma-separated

Cells = dict[str, Any]  # parsed values of a row; None for an empty cell; Any: each column has its own type


class Column(NamedTuple):
    """A column of the CSV: its description, and the parser of its cells."""

    description: str
    parse: Callable[[str], Scalar | Amount]
    needed: bool = False  # required in every row


def _number(least: float, most: float, allowed: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and least <= value <= most):
            raise UserError(f"{text[:20]!r} is not {allowed}.")
        return value

    return parse


def _whole(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or int(text) < least:
            raise UserError(f"{text[:20]!r} is not a whole number from {least} on, with at most nine digits.")
        return int(text)

    return parse


def _one_of(kind: str, allowed: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise unknown(kind, text[:40], allowed)
        return text

    return parse


def _dataset(text: str) -> str:
    if not re.fullmatch(r"[\w.@+-]{1,60}", text):
        raise UserError(
            f"{text[:60]!r} is not a task or dataset; give up to 60 letters, digits and signs of _ . @ + -."
        )
    return text


IMPORTED = [one.name for one in METRICS.values() if one.imported]
_POSITIVE = _number(1e-6, 1e9, "a number above 0")

COLUMNS: dict[str, Column] = {
    "model": Column("dense model: smollm2-135m or another id, or org/name", parse_model, needed=True),
    "label": Column("name of the series; the same in all its rows", parse_label, needed=True),
    "ratio": Column("removed share of weights, from 0 to below 1", parse_ratio),
    "pattern": Column("N kept of M, such as 2:4, instead of a ratio", Pattern.parse),
    "kind": Column("sparsity or unstructured (zeros; default), or parameters or structured (removed)", parse_kind),
    "metric": Column(f"{', '.join(IMPORTED[:-1])} or {IMPORTED[-1]}", _one_of("metric", sorted(IMPORTED)), needed=True),
    "dataset": Column("a dataset such as wikitext2, or a task such as piqa", _dataset, needed=True),
    "value": Column("the number; accuracies from 0 to 1", _number(0, MOST, "a number from 0 on"), needed=True),
    "stderr": Column("standard error of the value", _number(0, MOST, "a number from 0 on")),
    "n": Column("number of windows or documents", _whole(1), needed=True),
    "window": Column("tokens per window; required for a dataset's perplexity", _whole(2)),
    "windows": Column("number of first windows; all if empty", _whole(1)),
    "limit": Column("number of first documents; all if empty", _whole(1)),
    "fewshot": Column("few-shot examples; required for a task", _whole(0)),
    "dtype": Column("precision of the measurement: float32, bfloat16, float16", _one_of("dtype", DTYPES)),
    "version": Column("version of the task in lm-evaluation-harness, such as 1", _number(0, 1e6, "a number from 0 on")),
    "packed_mb": Column("packed size, MB of 10^6 bytes", _POSITIVE),
    "parameters": Column("nonzero parameters, in millions", _POSITIVE),
}
STATED = ("packed_mb", "parameters")  # sizes of a variant, equal in all rows that state them


def read_sheet(upload: Upload, model_of: ModelOf) -> ImportPreview:
    """Return the variants of a CSV; raise `UserError` with a sentence for each fault: row, column and fix."""
    header, lines = _lines(upload)
    _raise(_header_faults(upload.shown, header))
    rows, faults = [], []
    for number, line in lines:
        place = f"{upload.shown}, row {number}"
        if len(line) != len(header):
            faults.append(f"{place} has {counted(len(line), 'cell')}, the header {len(header)}.")
            continue
        read, wrong = _read(dict(zip(header, line, strict=True)))
        faults += [f"{place}, {fault}" for fault in wrong]
        if not wrong:
            try:
                kind, dtype = read["kind"] or KINDS[0], read["dtype"] or UNKNOWN
                series = ImportedVariant(read["model"], read["label"], read["ratio"] or read["pattern"], kind, dtype)
                sizes = {name: read[name] for name in STATED if read[name] is not None}
                rows.append((number, series, _measurement(read), sizes))
            except ValidationError as error:
                faults.append(f"{place}, {fault(error)}.")
    if not faults and not rows:
        faults.append(f"{upload.shown} has a header but no rows.")
    _raise(faults or _clashes(upload.shown, rows))
    groups: dict[ImportedVariant, list[tuple[Measurement, dict[str, float]]]] = {}
    for _, series, row, stated in rows:
        groups.setdefault(series, []).append((row, stated))
    results = []
    for series, found in groups.items():
        details = {name: value for _, stated in found for name, value in stated.items()}
        numbers = tuple(row for row, _ in found)
        results.append(Result(variant=series.variant(model_of, details), footprint=None, measurements=numbers))
    return ImportPreview(tuple(results))


def _raise(faults: Sequence[str]) -> None:
    """Raise `UserError` with all faults, if there are any; after `MAX_FAULTS` only their number."""
    if faults:
        more = len(faults) - MAX_FAULTS
        raise UserError(
            "\n".join([*faults[:MAX_FAULTS], *([f"{counted(more, 'other fault')} not shown."] if more > 0 else [])])
        )


def _lines(upload: Upload) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, and the cells of each row that is not empty, with its number; the header is row 1."""
    reader = csv.reader(io.StringIO(upload.text, newline=""), strict=True)
    try:
        header, *rows = [[cell.strip() for cell in row] for row in reader] or [[]]
    except csv.Error as error:
        raise UserError(f"{upload.shown}, line {reader.line_num} is not valid CSV: {error}.") from None
    if len(rows) > MOST_ROWS:
        raise UserError(f"{upload.shown} has more than {MOST_ROWS} rows, the maximum.")
    return header, [(number, row) for number, row in enumerate(rows, start=2) if any(row)]


def _header_faults(name: str, header: Sequence[str]) -> list[str]:
    for separator, shown in SEPARATORS.items():
        if any(separator in column and column.split(separator)[0].strip() in COLUMNS for column in header):
            return [f"{name} separates its columns by {shown}; save it with commas."]
    columns = dict.fromkeys(header)
    faults = []
    for column in [column for column in columns if column not in COLUMNS]:
        near = get_close_matches(column, COLUMNS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "remove it or rename it."
        faults.append(f"{name}: Unknown column {column[:40]!r}; {hint}")
    faults += [f"{name} has the column {column} twice." for column in columns if header.count(column) > 1]
    faults += [
        f"{name} lacks the column {column}; add it to the header. Its cells: {one.description}."
        for column, one in COLUMNS.items()
        if one.needed and column not in header
    ]
    return [*faults, f"The columns are {', '.join(COLUMNS)}."] if faults else []


def _read(cells: Mapping[str, str]) -> tuple[Cells, list[str]]:
    """Return the parsed cells of one row, and a sentence for each fault."""
    read: Cells = dict.fromkeys(COLUMNS)
    faults = []
    for name, text in cells.items():
        if len(text) > MOST_SIGNS:
            faults.append(f"column {name}: at most {MOST_SIGNS} characters are allowed.")
        elif text:
            try:
                read[name] = COLUMNS[name].parse(text)
            except UserError as error:
                faults.append(f"column {name}: {error}")
    faults += [_empty(name) for name, column in COLUMNS.items() if column.needed and not cells[name]]
    if cells.get("ratio") and cells.get("pattern"):
        faults.append("column pattern: the row also has a ratio; leave one of them empty.")
    if read["metric"] and read["dataset"]:
        faults += _protocol_faults(cells, read)
    return read, faults


def _empty(column: str) -> str:
    return f"column {column} is empty: {COLUMNS[column].description}."


def _protocol_faults(cells: Mapping[str, str], read: Cells) -> list[str]:
    """Return a sentence for each cell that does not fit the metric and the dataset of its row."""
    one, dataset = metric(read["metric"]), read["dataset"]
    task = TASKS.get(dataset.partition("@")[0])
    if one.on != "windows" and task is None:
        return [f"column dataset: {unknown('task', dataset, TASKS)}"]
    if one.relation and task:
        return [f"column dataset: {dataset} is a task; the {one.noun} needs a dataset."]
    faults = []
    if read["value"] is not None:
        try:
            check_range(one.name, read["value"])
        except UserError as error:
            faults.append(f"column value: {error}")
    needed, foreign = ("fewshot", ("window", "windows")) if task else ("window", ("limit", "fewshot", "version"))
    if not cells.get(needed):
        faults.append(_empty(needed))
    kind = "task" if task else "dataset"
    return faults + [
        f"column {name}: not allowed for the {kind} {dataset}; leave it empty." for name in foreign if cells.get(name)
    ]


def _measurement(read: Cells) -> Measurement:
    dataset, dtype = read["dataset"], read["dtype"] or UNKNOWN
    if dataset.partition("@")[0] in TASKS:
        protocol = task_protocol(Task(task=dataset, limit=read["limit"]), dtype)
        protocol |= {"fewshot": read["fewshot"], "version": read["version"]}
    else:
        wanted = Perplexity(corpus=dataset, window=read["window"], windows=read["windows"])
        protocol = perplexity_protocol(wanted, dtype)
    return Measurement(
        metric=read["metric"],
        dataset=dataset,
        value=read["value"],
        stderr=read["stderr"],
        n=read["n"],
        protocol=protocol | {"source": "imported"},
        origin="external",
    )


def _clashes(name: str, rows: Sequence[tuple[int, ImportedVariant, Measurement, dict[str, float]]]) -> list[str]:
    """Return a sentence for each row that repeats or contradicts an earlier one."""
    faults: list[str] = []
    numbers: dict[tuple[ImportedVariant, tuple[str, str, str]], int] = {}
    stated: dict[tuple[ImportedVariant, str], tuple[int, float]] = {}
    for number, series, row, sizes in rows:
        first = numbers.setdefault((series, row.identity), number)
        if first != number:
            faults.append(f"{name}, row {number} repeats the number of row {first}; give it once.")
        for column, size in sizes.items():
            before, value = stated.setdefault((series, column), (number, size))
            if value != size:
                faults.append(f"{name}, row {number}, column {column}: {size:g} contradicts {value:g} in row {before}.")
    return faults
