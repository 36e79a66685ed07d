"""The disk of the user cache: whether it can be written, and how much of it the cache may take."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.base.errors import StorageError

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
