"""Whether files have changed since a moment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.errors import UserError


class FileStamps:
    """The sizes and modification times of files at one moment."""

    def __init__(self, files: Sequence[Path] = ()):
        """Note the stamps of the files."""
        self._stamps = {file: _stamp(file) for file in files}

    def check(self) -> None:
        """Raise `UserError` if a file has changed or is gone since."""
        for file, stamp in self._stamps.items():
            if _stamp(file) != stamp:
                raise UserError(
                    f"{file} has changed since the run started. Restore it, or start the run again with the new file."
                )


def _stamp(file: Path) -> tuple[int, int] | None:
    """Return the size and the modification time of a file; None if it is absent."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
