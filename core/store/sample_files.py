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
LISTS = ("loglikelihoods", "shots")  # of numbers
TEXTS = ("instruction", "reasoning", "dataset", "protocol")
LOCAL = ("doc_id",)  # required columns of a file of one measurement
SHIPPED = ("doc_id", "dataset", "protocol")  # of a file of a variant

State = tuple[int, int, int]  # inode, because two writes may have the same time; modification time in ns; bytes
_sound: dict[Path, State] = {}  # files that were readable in this state
_damaged: dict[Path, tuple[State | None, str]] = {}  # the state of a damaged file, and the message


class _Check(NamedTuple):
    state: State | None
    value: float  # of the row
    gives: bool  # whether the samples have this mean


_checks: dict[tuple[Path, str], _Check] = {}  # the last check of each file and metric


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
    if _known_damaged(file, state):
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
        _note(file, state, str(error))
        return None
    _damaged.pop(file, None)
    _sound[file] = state
    return table


def is_damaged(file: Path, columns: Sequence[str] = LOCAL) -> bool:
    """Return whether a file exists but `read` returns None for it; read each state of it once."""
    state = _state(file)
    if state is not None and _sound.get(file) == state:
        return False
    return read(file, columns) is None and file.exists()


def note_number(file: Path, metric: str, value: float, gives: bool) -> None:
    """Record whether the samples in a file give the number of their row; log each mismatch once."""
    check = _Check(_state(file), value, gives)
    if _checks.get((file, metric)) != check and not gives:
        log.warning("%s", _other_number(file, metric, value))
    _checks[file, metric] = check


def gives_number(file: Path, metric: str, value: float) -> bool | None:
    """Return the record of a file in its current state and a number; None if there is none."""
    check = _checks.get((file, metric))
    return check.gives if check and check[:2] == (_state(file), value) else None


def damaged() -> dict[Path, str]:
    """Return a sentence per unchanged file that this process has read as damaged or of another number."""
    other = {
        file: _other_number(file, metric, check.value)
        for (file, metric), check in sorted(_checks.items())
        if gives_number(file, metric, check.value) is False and file.exists()
    }
    return other | {
        file: words for file, (state, words) in sorted(_damaged.items()) if _known_damaged(file, _state(file))
    }


def _other_number(file: Path, metric: str, value: float) -> str:
    return f"The samples in {file} do not give {metric} = {value:g}; run or import the variant again to replace them."


def _known_damaged(file: Path, state: State | None) -> bool:
    return file in _damaged and _damaged[file][0] == state and file.exists()


def _state(file: Path) -> State | None:
    """Return a value that changes with a file; None if it is not a regular file."""
    try:
        info = file.stat()
    except OSError:
        return None
    return (info.st_ino, info.st_mtime_ns, info.st_size) if stat.S_ISREG(info.st_mode) else None


def _note(file: Path, state: State | None, reason: str) -> None:
    first = (reason.strip().splitlines() or ["unknown error"])[0].rpartition("': ")[2].rstrip(".")  # without the path
    words = f"The samples in {file} are skipped ({first}); run or import the variant again to replace them."
    _damaged[file] = state, words
    log.warning("%s", words)


def _check(table: Table, columns: Sequence[str]) -> None:
    """Raise `ValueError` if a table is not one of samples."""
    table.validate(full=True)
    if lacking := [name for name in columns if name not in table.column_names]:
        raise ValueError(f"it has no column {lacking[0]!r}")
    for names, fits in ((NUMBERS, _number), (LISTS, _numbers), (TEXTS, _text)):
        for name in set(names) & set(table.column_names):
            kind = table.schema.field(name).type
            if not fits(kind) and table.column(name).to_pandas().notna().any():
                raise ValueError(f"its column {name!r} has type {kind}")


def _number(kind: DataType) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _numbers(kind: DataType) -> bool:
    from pyarrow import types

    listed = types.is_list(kind) or types.is_large_list(kind)
    return bool(listed and (_number(kind.value_type) or types.is_null(kind.value_type)))


def _text(kind: DataType) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def _sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
