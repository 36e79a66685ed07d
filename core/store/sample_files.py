"""Sample files: written atomically, verified on reading, and reported if damaged or of another number.

A damaged file counts as missing. The log reports it once, and `damaged` reports it until it changes. The same applies
to a readable file that gives another number than its row.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from core.base.errors import StorageError
from core.metrics import MEANS

if TYPE_CHECKING:
    from pandas import DataFrame
    from pyarrow import DataType, Table

log = logging.getLogger(__name__)

NUMBERS = ("doc_id", "acc", "acc_norm", "perplexity", *MEANS)
KINDS = {
    **dict.fromkeys(NUMBERS, "number"),
    **dict.fromkeys(("loglikelihoods", "shots"), "list of numbers"),
    **dict.fromkeys(("instruction", "reasoning", "dataset", "protocol"), "text"),
}
LOCAL = ("doc_id",)  # required columns of a file of one measurement
SHIPPED = ("doc_id", "dataset", "protocol")  # of a file of a variant

State = tuple[int, int, int]  # inode, because two writes may have the same time; modification time in ns; bytes


class _Check(NamedTuple):
    state: State | None
    value: float  # of the row
    fault: str | None  # a sentence


_checks: dict[tuple[Path, str], _Check] = {}  # the last check of each file: of its content (""), or of a metric


def write(frame: DataFrame, file: Path) -> None:
    """Write a file that is complete or absent even after a power cut; raise `StorageError` on failure."""
    part = file.with_suffix(f".{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(part, index=False, compression="zstd", write_page_checksum=True)
        _sync(part)
        if file.is_dir():  # `os.replace` does not replace a folder
            shutil.rmtree(file)
        os.replace(part, file)
        _sync(file.parent)  # the folder stores the new name
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(f"The samples cannot be written to {file}: {error.strerror or error}.") from error


def read(file: Path, columns: Sequence[str] = LOCAL) -> Table | None:
    """Return the table in a file; None if the file is missing, damaged or lacks one of the columns."""
    if not os.path.exists(file):  # true for nearly all of the user's own files, so it comes before slower checks
        return None
    state = _state(file)
    if (known := _last(file)) and known.fault:
        return None
    from pyarrow import ArrowException, parquet

    try:
        if state is None:
            raise ValueError("it is not a regular file")
        with parquet.ParquetFile(file, page_checksum_verification=True) as opened:
            table = opened.read(use_threads=False)  # threads slow down the reading of small files
        _check(table, columns)
        table = table.replace_schema_metadata(None)  # the metadata of pandas have no checksum
    except (OSError, ValueError, ArrowException) as error:
        first = (str(error).strip().splitlines() or ["unknown error"])[0].rpartition("': ")[2]  # without the path
        reason = first.rstrip(".")
        words = f"The samples in {file} are skipped ({reason}); run or import the variant again to replace them."
        _note(file, state, "", 0.0, words)
        return None
    _note(file, state, "", 0.0, None)
    return table


def is_damaged(file: Path, columns: Sequence[str] = LOCAL) -> bool:
    """Return whether a file exists but `read` returns None for it; read each state of it once."""
    if _last(file) is None:
        read(file, columns)
    known = _last(file)
    return known is not None and known.fault is not None and file.exists()


def note_number(file: Path, metric: str, value: float, gives: bool) -> None:
    """Record whether the samples in a file give the number of their row; log each mismatch once."""
    words = f"The samples in {file} do not give {metric} = {value:g}; run or import the variant again to replace them."
    _note(file, _state(file), metric, value, None if gives else words)


def gives_number(file: Path, metric: str, value: float) -> bool | None:
    """Return the record of a file in its current state and a number; None if there is none."""
    known = _last(file, metric, value)
    return None if known is None else known.fault is None


def damaged() -> dict[Path, str]:
    """Return a sentence per unchanged file that this process has read as damaged or of another number."""
    return {
        file: check.fault
        for (file, _), check in sorted(_checks.items())
        if check.fault and check.state == _state(file) and file.exists()
    }


def _last(file: Path, metric: str = "", value: float = 0.0) -> _Check | None:
    """Return the last check of a file if it was of its current state."""
    check = _checks.get((file, metric))
    return check if check and check[:2] == (_state(file), value) else None


def _note(file: Path, state: State | None, metric: str, value: float, fault: str | None) -> None:
    check = _Check(state, value, fault)
    if fault and _checks.get((file, metric)) != check:
        log.warning("%s", fault)
    _checks[file, metric] = check


def _state(file: Path) -> State | None:
    """Return a value that changes with a file; None if it is not a regular file."""
    try:
        info = file.stat()
    except OSError:
        return None
    return (info.st_ino, info.st_mtime_ns, info.st_size) if stat.S_ISREG(info.st_mode) else None


def _check(table: Table, columns: Sequence[str]) -> None:
    """Raise `ValueError` if a table is not one of samples."""
    table.validate(full=True)
    if lacking := [name for name in columns if name not in table.column_names]:
        raise ValueError(f"it has no column {lacking[0]!r}")
    for field in table.schema:
        fits = KINDS.get(field.name) in (None, _kind(field.type))
        if not fits and table.column(field.name).to_pandas().notna().any():
            raise ValueError(f"its column {field.name!r} has type {field.type}")


def _kind(found: DataType) -> str:
    from pyarrow import types

    if types.is_list(found) or types.is_large_list(found):
        empty = types.is_null(found.value_type)
        return "list of numbers" if empty else f"list of {_kind(found.value_type)}s"
    if types.is_integer(found) or types.is_floating(found) or types.is_boolean(found):
        return "number"
    return "text" if types.is_string(found) or types.is_large_string(found) else "other"


def _sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
