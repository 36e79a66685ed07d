"""What a variant answered, document by document: parquet files beside the local database.

A file is `samples/<variant key>/<dataset>-<sha8 of the protocol>.parquet`: metrics of one task under one protocol
(acc and acc_norm) share their documents, so they share the file.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from core import paths
from core.errors import NotStored, UserError
from core.results import Measurement
from core.specs import sha256

if TYPE_CHECKING:
    from pandas import DataFrame


def _folder(key: str) -> Path:
    if not re.fullmatch(r"[0-9a-f]{64}", key):
        raise UserError(f"{key!r} is not the key of a variant, which has 64 hexadecimal digits.")
    return paths.local_results_dir() / "samples" / key


def _checked(dataset: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*", dataset):
        raise UserError(f"{dataset!r} is not the id of a task: letters, digits and _ . @ - are allowed.")
    return dataset


def write_samples(key: str, measurement: Measurement, frame: DataFrame) -> Path:
    """Store the per-document outcomes behind a measurement, one row a document; return the file."""
    _, dataset, protocol = measurement.identity
    file = _folder(key) / f"{_checked(dataset)}-{sha256(protocol)[:8]}.parquet"
    part = file.with_suffix(f".{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(part, index=False)
        os.replace(part, file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise NotStored(f"The samples cannot be written to {file}: {error.strerror or error}.") from error
    return file


def read_samples(key: str, dataset: str, measurement: Measurement | None = None) -> DataFrame | None:
    """Return the outcomes on a task, of that measurement's protocol or else of the most documents; None if none."""
    import pandas

    digest = sha256(measurement.identity[2])[:8] if measurement else "????????"
    frames = [pandas.read_parquet(file) for file in _folder(key).glob(f"{_checked(dataset)}-{digest}.parquet")]
    return max(frames, key=len, default=None)


def delete_samples(key: str) -> None:
    shutil.rmtree(_folder(key), ignore_errors=True)
