"""Bundled results: `cached_results/measured/*.jsonl` and `cached_results/published/*.csv`.

A damaged line or file is skipped with a warning. A file is read again only after a change.
"""

from __future__ import annotations

import csv
import json
import logging
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from core.base import paths
from core.base.errors import StorageError, echo
from core.fields import fault
from core.results import SCHEMA, LoadedResults, Result
from core.specs import Scalar
from core.store.rows import corrected

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger(__name__)

PUBLISHED_COLUMNS = (
    *("paper", "arxiv", "table", "model", "method", "tuned", "ratio_kind", "ratio", "metric", "dataset", "value"),
    *("window", "text", "measure", "fewshot", "note", "url"),  # the protocol, as far as the paper reports it
)
Stamp = tuple[tuple[str, int, int], ...]  # (path, modification time in ns, bytes) of each file


def stamp(folder: Path, pattern: str) -> Stamp:
    """Return a value that changes with any file of the folder."""
    files = []
    for file in sorted(folder.glob(pattern)):
        info = file.stat()
        files.append((str(file), info.st_mtime_ns, info.st_size))
    return tuple(files)


def read_measured(folder: Path | None = None) -> LoadedResults:
    """Return the bundled results, and warnings on unreadable lines; lines with one key merge, and the last wins."""
    return _read_measured(stamp(folder or paths.SHIPPED_MEASURED, "*.jsonl"))


@lru_cache(maxsize=4)
def _read_measured(files: Stamp) -> LoadedResults:
    results: dict[str, Result] = {}
    warnings: list[str] = []
    for name, _, _ in files:
        file = Path(name)
        try:
            lines = file.read_bytes().splitlines()
        except OSError as error:
            warnings.append(f"{file.name} is skipped: {error.strerror or error}")
            continue
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                result = parse_result(line)
            except ValueError as error:
                warnings.append(f"{file.name}, line {number} is skipped: {error}")
                continue
            key = result.variant.key
            results[key] = results[key].updated(result) if key in results else result
    for warning in warnings:
        log.warning(warning)
    return LoadedResults({key: corrected(result) for key, result in results.items()}, tuple(warnings))


def parse_result(line: bytes) -> Result:
    """Return the result in a JSON text; raise `ValueError` with its fault."""
    reason = ""
    try:
        result = Result.model_validate_json(line)
        if "schema_version" in result.model_fields_set and result.schema_version == SCHEMA:
            return result
    except ValidationError as error:
        reason = f"{fault(error)}."
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):  # too deeply nested lists raise the latter
        raise ValueError("it is not JSON.") from None
    version = data.get("schema_version") if isinstance(data, dict) else None
    raise ValueError(
        reason if version == SCHEMA else f"its schema version is {echo(version)}; this program reads {SCHEMA}."
    )


def append_shipped(result: Result, file: Path) -> None:
    """Append a line to a JSONL file in one write, so that a killed sweep damages at most its last line."""
    line = result.model_dump_json().encode() + b"\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "ab+") as stream:
            if stream.seek(0, os.SEEK_END):
                stream.seek(-1, os.SEEK_END)
                line = line if stream.read() == b"\n" else b"\n" + line  # keep an incomplete last line separate
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise StorageError(f"The result cannot be written to {file}: {error.strerror or error}.") from error


def published(folder: Path | None = None) -> DataFrame:
    """Return the papers' values, one per row, with `PUBLISHED_COLUMNS`; accuracies are in percent.

    `frame.attrs["warnings"]` lists the unreadable lines and files.
    """
    return _published(stamp(folder or paths.SHIPPED_PUBLISHED, "*.csv")).copy()


@lru_cache(maxsize=4)
def _published(files: Stamp) -> DataFrame:
    import pandas

    rows: list[dict[str, Scalar]] = []
    warnings: list[str] = []
    for name, _, _ in files:
        try:
            with open(name, newline="", encoding="utf-8") as stream:
                for number, row in enumerate(csv.DictReader(stream), start=2):
                    try:
                        rows.append(_published_row(row))
                    except ValueError as error:
                        warnings.append(f"{Path(name).name}, line {number} is skipped: {error}")
        except (OSError, ValueError, csv.Error) as error:
            warnings.append(f"{Path(name).name} is read only in part: {error}")
    for warning in warnings:
        log.warning(warning)
    frame = pandas.DataFrame(rows, columns=PUBLISHED_COLUMNS)
    frame.attrs["warnings"] = warnings
    return frame


def _published_row(row: dict[str, str]) -> dict[str, Scalar]:
    if None in row or None in row.values() or set(row) != set(PUBLISHED_COLUMNS):
        raise ValueError("it does not have the columns of published results.")
    numbers = {"ratio": float(row["ratio"]), "value": float(row["value"])}
    optional = {name: float(row[name]) if row[name] else None for name in ("window", "fewshot")}
    return {**row, **numbers, **optional, "tuned": row["tuned"] == "yes"}
