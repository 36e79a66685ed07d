"""Files of the user cache: their checksums, whether they have changed, and how much of the disk they may take.

Checksums are stored with the files and verified before reading. They use sha256, for which processors have
instructions. A folder has a file with the digests of its files, a small file starts with its digest, and a stream ends
with it.
"""

import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from core.base.errors import StorageError, UserError

NAME = "checksums.json"
DIGEST_BYTES = 32
OPTIONAL_LEAVES = 5 * 2**30  # bytes that stay free after what only saves time
NEEDED_LEAVES = 10**9  # bytes that stay free after what a run cannot do without
SHARE = 0.1  # of the free bytes that can be taken even if fewer than these stay


def file_sha256(path: Path) -> str:
    """Compute the hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> bytes:
    """Compute the content of a folder's `NAME`: the digests of all other files below it, as JSON."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    return json.dumps({path.relative_to(folder).as_posix(): file_sha256(path) for path in files}).encode()


def intact(folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> bool:
    """Return whether the files of a folder that `wanted` selects by relative path match the digests in its `NAME`."""
    try:
        recorded = json.loads((folder / NAME).read_bytes())
        return all(file_sha256(folder / name) == digest for name, digest in recorded.items() if wanted(name))
    except (OSError, ValueError, AttributeError):
        return False


def end_with_digest(file: IO[bytes]) -> None:
    """Append the digest of its content to a file that is open for reading and writing, such as a zip archive."""
    file.flush()
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type] # typeshed wants readinto
    file.write(digest)


def ends_with_digest(path: Path) -> bool:
    """Return whether a file ends with the digest of its preceding content."""
    with path.open("rb") as file:
        remaining = path.stat().st_size - DIGEST_BYTES
        total = hashlib.sha256()
        while remaining > 0 and (part := file.read(min(remaining, 2**20))):
            total.update(part)
            remaining -= len(part)
        return file.read() == total.digest()


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
        self._stamps = stamps(files)

    def check(self) -> None:
        """Raise `UserError` if a file has changed or is gone since."""
        now = stamps(self._stamps)
        for file, before in self._stamps.items():
            if file not in now or now[file][1:] != before[1:]:
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
