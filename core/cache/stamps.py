"""Whether files have changed since a moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from core.base.errors import UserError


class Stamp(NamedTuple):
    """The identity, size and modification time (ns) of a file."""

    inode: int
    size: int
    modified: int


class FileStamps:
    """The sizes and modification times of files at one moment."""

    def __init__(self, files: Sequence[Path] = ()):
        """Note the stamps of the files."""
        self._stamps = {file: _content(file) for file in files}

    def check(self) -> None:
        """Raise `UserError` if a file has changed or is gone since."""
        for file, before in self._stamps.items():
            if _content(file) != before:
                raise UserError(
                    f"{file} has changed since the run started. Restore it, or start the run again with the new file."
                )


def stamps(files: Iterable[Path]) -> dict[Path, Stamp]:
    """Return the stamps of those files that exist."""
    found = {}
    for file in files:
        try:
            now = file.stat()
        except OSError:
            continue
        found[file] = Stamp(now.st_ino, now.st_size, now.st_mtime_ns)
    return found


def _content(file: Path) -> tuple[int, ...] | None:
    """Return the size and the modification time of a file; None if it is absent."""
    found = stamps([file]).get(file)
    return None if found is None else found[1:]
