"""What a variant answered, document by document and window by window: parquet files beside the rows.

Metrics of one task under one protocol (acc and acc_norm) share their documents, so they share their samples. The
user's own lie one file each, as they are measured: `samples/<variant key>/<dataset>-<sha8 of the protocol>.parquet`.
Those that come with the project lie one file a variant, `samples/<variant key>.parquet`, without what a dataset's id
says already.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import paths
from core.errors import UserError, echo
from core.outcomes import value
from core.results import Measurement, Result
from core.store import sample_files

if TYPE_CHECKING:
    from pandas import DataFrame, Index
    from pyarrow import ChunkedArray, Table

FOLDER = "samples"
# What is compared of a document, and shipped beside its dataset and protocol.
COMPARED = {"doc_id": "int32", "target": "Int16", "acc": "float32", "acc_norm": "float32", "perplexity": "float32"}
AROUND = ("shots", "instruction", "reasoning")  # and what stood around its question, of prompts that are not zero-shot
KEPT = ("loglikelihoods", *AROUND, *COMPARED)
SAME = 1e-5  # relative: what 32 bits round, and more


def write_samples(key: str, measurement: Measurement, frame: DataFrame) -> Path:
    """Store the per-document outcomes behind a measurement, one row a document; return the file."""
    file = _local(key, measurement)
    sample_files.write(frame, file)
    return file


def read_samples(key: str, measurement: Measurement) -> DataFrame | None:
    """Return the outcomes that a measurement is the mean of, the user's own or else the shipped; None where none are
    kept.

    A row a document or window: doc_id, and as they apply target, loglikelihoods (a choice each), the metrics and what
    stood around the question (`core.evaluation.zeroshot.TaskOutcome`).
    """
    frame = _read_local(key, measurement)
    fits = frame is not None and _gives(measurement, frame)
    found = frame if fits else read_shipped_samples(key, measurement)
    if frame is not None and measurement.metric in frame:
        file = _local(key, measurement)
        sample_files.note_number(file, measurement.metric, measurement.value, gives=found is not None)
    return found


def read_shipped_samples(key: str, measurement: Measurement) -> DataFrame | None:
    """Return what `read_samples` does, of the shipped ones only."""
    frame = _read_shipped(key, measurement)
    return frame if frame is not None and _gives(measurement, frame) else None


def lost(key: str, measurement: Measurement) -> bool:
    """Whether the samples of a number are in a damaged file, or in one of another number, so that only measuring it
    again brings them back.
    """
    file, metric, value = _local(key, measurement), measurement.metric, measurement.value
    if file.exists() and sample_files.gives_number(file, metric, value) is None:
        read_samples(key, measurement)  # which notes it
    shipped = _shipped(key, paths.SHIPPED_MEASURED)
    unfit = (
        sample_files.gives_number(file, metric, value) is False
        or sample_files.is_damaged(file)
        or sample_files.is_damaged(shipped, sample_files.SHIPPED)
    )
    return unfit and read_samples(key, measurement) is None


def damaged(keys: Collection[str]) -> list[str]:
    """Return a sentence for each file that this process has read of these variants as damaged, or of other numbers."""
    known = sample_files.damaged()
    if not known:  # as nearly always, so that no page waits for the places of hundreds of variants
        return []
    places = {_local_folder(key) for key in keys} | {_shipped(key, paths.SHIPPED_MEASURED) for key in keys}
    return [words for file, words in known.items() if {file, file.parent} & places]


def copy_samples(folder: Path, key: str, measurement: Measurement) -> bool:
    """Copy the outcomes behind a measurement from a folder of the user's own, laid out like ours, unless some are here.

    Returns:
        Whether there are outcomes of it here now that the measurement is the mean of.
    """
    file = _local(key, measurement)
    table = sample_files.read(folder / _checked(key) / file.name)
    if table is not None and not file.exists():
        sample_files.write(table.to_pandas(), file)
    frame = _read_local(key, measurement)
    return frame is not None and _gives(measurement, frame)


def delete_samples(key: str) -> None:
    """Delete the user's own."""
    shutil.rmtree(_local_folder(key), ignore_errors=True)


def ship_samples(result: Result, folder: Path) -> Path | None:
    """Write all outcomes behind a result into one file of a folder of shipped rows; None where it has none."""
    import pandas

    key, parts = result.variant.key, {}
    for row in result.measurements:
        if (frame := read_samples(key, row)) is not None:
            parts[row.dataset, row.protocol_id] = frame.assign(dataset=row.dataset, protocol=row.protocol_id)
    if not parts:
        return None
    file = _shipped(key, folder)
    every = pandas.concat(parts.values())
    around = [name for name in AROUND if name in every]
    found = every.reindex(columns=["dataset", "protocol", "loglikelihoods", *around, *COMPARED])
    sample_files.write(found.astype(COMPARED), file)
    return file


def _gives(measurement: Measurement, frame: DataFrame) -> bool:
    """Whether samples are those of a number, and not of one that was measured at another time."""
    if measurement.metric not in frame:
        return False
    same = abs(value(measurement.metric, frame) - measurement.value) <= SAME * abs(measurement.value)
    return len(frame) == measurement.n and same


def _read_local(key: str, measurement: Measurement) -> DataFrame | None:
    import pandas

    table = sample_files.read(_local(key, measurement))
    if table is None:
        return None
    frame = table.to_pandas()
    if "target" in frame:
        frame["target"] = pandas.to_numeric(frame["target"], errors="coerce")  # a text, as LAMBADA's, is the task's
    return _compared(frame)


def _read_shipped(key: str, measurement: Measurement) -> DataFrame | None:
    file = _shipped(key, paths.SHIPPED_MEASURED)
    if not file.is_file():
        return None
    return _part(file, file.stat().st_mtime_ns, measurement.dataset, measurement.protocol_id)


@lru_cache(maxsize=1024)  # every look at a page asks for the same ones, and acc_norm for acc's
def _part(file: Path, time: int, dataset: str, protocol: str) -> DataFrame | None:
    import pandas

    part = _parts(file, time).get((dataset, protocol))
    if part is None:
        return None
    columns = zip(part.column_names, part.columns, strict=True)
    there = {name: _column(values) for name, values in columns if values.null_count < part.num_rows}
    kept = {name: there[name] for name in KEPT if name in there}
    frame = pandas.DataFrame(dict(enumerate(kept.values())), index=pandas.RangeIndex(part.num_rows), copy=False)
    frame.columns = _names(tuple(kept))
    return frame


@lru_cache(maxsize=64)
def _names(names: tuple[str, ...]) -> Index:
    """Return one index for all frames with these columns, as building its lookup table costs more than the frame."""
    import pandas

    return pandas.Index(names)


def _column(values: ChunkedArray) -> Any:
    """Return a column for pandas: numbers by NumPy, lists as they are, as an object a document would cost most time."""
    from pandas.arrays import ArrowExtensionArray
    from pyarrow import types

    if types.is_list(values.type):
        return ArrowExtensionArray(values)
    return values.to_numpy() if types.is_integer(values.type) or types.is_floating(values.type) else values.to_pandas()


@lru_cache(maxsize=128)
def _parts(file: Path, time: int) -> dict[tuple[str, str], Table]:
    """Return the samples in a shipped file by dataset and protocol; none is copied before it is asked for."""
    import pyarrow
    from pyarrow.compute import field

    table = sample_files.read(file, sample_files.SHIPPED)
    if table is None:
        return {}
    split = ["dataset", "protocol"]
    rows = table.select(split).append_column("row", pyarrow.array(range(table.num_rows)))
    spans = rows.group_by(split, use_threads=False).aggregate([("row", "min"), ("row", "max"), ("row", "count")])
    outcomes, parts = table.drop_columns(split), {}
    for span in spans.to_pylist():
        here, first, n = (span["dataset"], span["protocol"]), span["row_min"], span["row_count"]
        if None in here:
            continue
        if span["row_max"] - first + 1 == n:  # as they are written
            parts[here] = outcomes.slice(first, n)
        else:
            scattered = table.filter((field("dataset") == here[0]) & (field("protocol") == here[1]))
            parts[here] = scattered.drop_columns(split)
    return parts


def _compared(frame: DataFrame) -> DataFrame:
    columns = [name for name in KEPT if name in frame and frame[name].notna().any()]
    return frame[columns].reset_index(drop=True)


def _local(key: str, measurement: Measurement) -> Path:
    dataset = measurement.dataset
    if not re.fullmatch(r"[\w.@+-]+", dataset):
        raise UserError(f"{echo(dataset)} is not the id of a task or text: letters, digits and _ . @ + - are allowed.")
    return _local_folder(key) / f"{dataset}-{measurement.protocol_id}.parquet"


def _local_folder(key: str) -> Path:
    return paths.local_results_dir() / FOLDER / _checked(key)


def _shipped(key: str, folder: Path) -> Path:
    return folder / FOLDER / f"{_checked(key)}.parquet"


def _checked(key: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", key):
        raise UserError(f"{echo(key)} is not the key of a variant, which has 64 hexadecimal digits.")
    return key
