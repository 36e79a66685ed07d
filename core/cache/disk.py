"""Files of the user cache: whether they have changed, whether the disk can be written, and how much of it is free."""

import errno
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from core.base.errors import StorageError, UserError

OPTIONAL_LEAVES = 5 * 2**30  # bytes that stay free after what only saves time
NEEDED_LEAVES = 10**9  # bytes that stay free after what a run cannot do without
SHARE = 0.1  # of the free bytes that can be taken even if fewer than these stay


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Create `folder`, and raise `StorageError` if the disk is full or the cache is not writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(f"The disk is full at {folder}; free some space.") from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise StorageError(f"The cache folder {folder} is not writable; set SLIMSCOPE_CACHE to another.") from None
        raise


def room(folder: Path, leaves: int = OPTIONAL_LEAVES) -> int:
    """Return how many bytes may be added to the disk of an existing folder.

    They leave `leaves` bytes free. Little content may go to a disk with less than that: a tenth of what is free.
    """
    free = shutil.disk_usage(folder).free
    return max(free - leaves, int(free * SHARE))


def check_disk(folder: Path, needed: int, purpose: str) -> None:
    """Create a folder; raise `StorageError` if its disk has no room for the `needed` bytes of a purpose."""
    with writing(folder):
        free = room(folder, NEEDED_LEAVES)
    if free < needed:
        raise StorageError(
            f"{purpose} needs {_size(needed)} of disk, but {folder} has only {_size(free)} to spare. Free some space, "
            "or set SLIMSCOPE_CACHE to another disk."
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


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
