"""Outcomes of a variant by document or window, in parquet files.

Metrics of one task under one protocol (acc and acc_norm) share their documents, so they share their samples. The
user's own samples have one file per dataset and protocol: `samples/<variant key>/<dataset>-<sha8 of the
protocol>.parquet`. Bundled samples have one file per variant, `samples/<variant key>.parquet`. They lack the columns
that follow from the dataset's id.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from core.base import paths
from core.base.errors import StorageError, UserError, echo
from core.cache.storage import shared_storage
from core.evaluation.outcomes import value
from core.results import Measurement, Result
from core.store import sample_files

if TYPE_CHECKING:
    from pandas import DataFrame
    from pyarrow import Table

log = logging.getLogger(__name__)

FOLDER = "samples"
# Columns that comparisons use; bundled files have them, and the dataset and protocol.
COMPARED = {"doc_id": "int32", "target": "Int16"} | dict.fromkeys(sample_files.NUMBERS[1:], "float32")
AROUND = ("shots", "instruction", "reasoning")  # context of the question in prompts that are not zero-shot
KEPT = ("loglikelihoods", *AROUND, *COMPARED)
SAME = 1e-5  # relative tolerance, above the rounding to 32 bits


def write_samples(key: str, measurement: Measurement, frame: DataFrame) -> Path:
    """Store the per-document outcomes behind a measurement, one row per document; return the file."""
    file = _local(key, measurement)
    sample_files.write(frame, file)
    if storage := shared_storage():
        storage.send(file, f"{_shared_folder(key)}/{file.name}")
    return file


def read_samples(key: str, measurement: Measurement) -> DataFrame | None:
    """Return the outcomes whose mean is a measurement, the user's own or else bundled; None if none are stored.

    Each document or window has a row with doc_id and the columns that apply: target, loglikelihoods (one per choice),
    the metrics, and the context of the question (`core.evaluation.zeroshot.TaskOutcome`).
    """
    frame = _read_local(key, measurement)
    if not _gives(measurement, frame) and _fetch(key, measurement):
        frame = _read_local(key, measurement)
    outcomes = frame if _gives(measurement, frame) else read_shipped_samples(key, measurement)
    if frame is not None and measurement.metric in frame:
        file = _local(key, measurement)
        sample_files.note_number(file, measurement.metric, measurement.value, gives=outcomes is not None)
    return outcomes


def read_shipped_samples(key: str, measurement: Measurement) -> DataFrame | None:
    """Return only bundled outcomes, in the form of `read_samples`."""
    file = _shipped(key, paths.SHIPPED_MEASURED)
    if not file.is_file():
        return None
    frame = _part(file, file.stat().st_mtime_ns, measurement.dataset, measurement.protocol_id)
    return frame if _gives(measurement, frame) else None


def variants_with_samples() -> set[str]:
    """Return the keys of the variants with any stored outcomes, from one listing of each place."""
    places = (paths.local_results_dir() / FOLDER, paths.SHIPPED_MEASURED / FOLDER)
    found = {path.name.removesuffix(".parquet") for place in places if place.is_dir() for path in place.iterdir()}
    return found.union(_shared_names(FOLDER))


def lost(key: str, measurement: Measurement) -> bool:
    """Return whether only a new measurement can restore the samples of a number.

    Then their file is damaged or gives another number, and no bundled samples give it.
    """
    file, metric, value = _local(key, measurement), measurement.metric, measurement.value
    if file.exists() and sample_files.gives_number(file, metric, value) is None:
        read_samples(key, measurement)  # records whether the file gives the number
    shipped = _shipped(key, paths.SHIPPED_MEASURED)
    unfit = (
        sample_files.gives_number(file, metric, value) is False
        or sample_files.is_damaged(file)
        or sample_files.is_damaged(shipped, sample_files.SHIPPED)
    )
    return unfit and read_samples(key, measurement) is None


def damaged(keys: Collection[str]) -> list[str]:
    """Return a sentence per file of these variants that this process has read as damaged or of another number."""
    known = sample_files.damaged()
    if not known:  # nearly always; computing the paths of hundreds of variants would delay every page
        return []
    places = {_local_folder(key) for key in keys} | {_shipped(key, paths.SHIPPED_MEASURED) for key in keys}
    return [words for file, words in known.items() if {file, file.parent} & places]


def copy_samples(folder: Path, key: str, measurement: Measurement) -> bool:
    """Copy the outcomes behind a measurement from a folder with the user's own layout, unless some are stored.

    Returns whether the stored outcomes have the measurement as their mean.
    """
    file = _local(key, measurement)
    table = sample_files.read(folder / _checked(key) / file.name)
    if table is not None and not file.exists():
        sample_files.write(table.to_pandas(), file)
    return _gives(measurement, _read_local(key, measurement))


def delete_samples(key: str) -> None:
    """Delete the user's own samples of a variant."""
    shutil.rmtree(_local_folder(key), ignore_errors=True)
    if storage := shared_storage():
        storage.delete(_shared_folder(key))


def ship_samples(result: Result, folder: Path) -> Path | None:
    """Write all outcomes behind a result to one file in a folder of bundled results; return None without outcomes."""
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
    columns = ["dataset", "protocol", "loglikelihoods", *around, *COMPARED]
    sample_files.write(every.reindex(columns=columns).astype(COMPARED), file)
    return file


def _fetch(key: str, measurement: Measurement) -> bool:
    """Copy the samples behind a measurement from the shared storage; return whether it has any."""
    storage, file, folder = shared_storage(), _local(key, measurement), _shared_folder(key)
    if storage is None or key not in _shared_names(FOLDER) or file.name not in _shared_names(folder):
        return False
    try:
        return storage.fetch(f"{folder}/{file.name}", file)
    except StorageError as error:  # pages then show the number without its samples
        log.warning("%s", error)
        return False


def _shared_names(folder: str) -> frozenset[str]:
    """Return the names in a folder of the shared storage; none without a storage, or if it cannot be read."""
    try:
        return storage.names(folder) if (storage := shared_storage()) else frozenset()
    except StorageError as error:  # pages then show numbers without their samples
        log.warning("%s", error)
        return frozenset()


def _shared_folder(key: str) -> str:
    return f"{FOLDER}/{_checked(key)}"


def _gives(measurement: Measurement, frame: DataFrame | None) -> bool:
    """Return whether a number is the mean of samples, which may be of another measurement."""
    if frame is None or measurement.metric not in frame:
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
        frame["target"] = pandas.to_numeric(frame["target"], errors="coerce")  # the task has texts such as LAMBADA's
    columns = [name for name in KEPT if name in frame and frame[name].notna().any()]
    present: DataFrame = frame[columns].reset_index(drop=True)
    return present


@lru_cache(maxsize=1024)  # every page view reads the same parts, and acc_norm reads those of acc
def _part(file: Path, time: int, dataset: str, protocol: str) -> DataFrame | None:
    import pandas
    from pyarrow import types

    part = _parts(file, time).get((dataset, protocol))
    if part is None:
        return None
    present = [name for name in KEPT if name in part.column_names and part[name].null_count < part.num_rows]
    # Lists stay in Arrow, as one object per document is slow.
    frame: DataFrame = part.select(present).to_pandas(
        types_mapper=lambda kind: pandas.ArrowDtype(kind) if types.is_list(kind) else None
    )
    return frame


@lru_cache(maxsize=128)
def _parts(file: Path, time: int) -> dict[tuple[str, str], Table]:
    """Return the samples in a bundled file by dataset and protocol, whose rows `ship_samples` writes in one piece."""
    import pyarrow

    table = sample_files.read(file, sample_files.SHIPPED)
    if table is None:
        return {}
    split = ["dataset", "protocol"]
    rows = table.select(split).append_column("row", pyarrow.array(range(table.num_rows)))
    spans = rows.group_by(split, use_threads=False).aggregate([("row", "min"), ("row", "count")]).to_pylist()
    outcomes = table.drop_columns(split)
    return {(span["dataset"], span["protocol"]): outcomes.slice(span["row_min"], span["row_count"]) for span in spans}


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
