"""Checksums of cached files, stored with the files and verified before reading.

They use sha256, for which processors have instructions. A folder has a file with the digests of its files, a small file
starts with its digest, and a stream ends with it.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import IO

NAME = "checksums.json"
DIGEST_BYTES = 32


def file_sha256(path: Path) -> str:
    """Compute the hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> bytes:
    """Compute the content of a folder's `NAME`: the digests of all other files below it, as JSON."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    return json.dumps({path.relative_to(folder).as_posix(): file_sha256(path) for path in files}).encode()


def intact(folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> bool:
    """Verify the files of a folder against the digests in its `NAME`; a folder without `NAME` fails.

    Args:
        folder: A folder of the cache.
        wanted: Selects by relative path the files to verify.

    Returns:
        Whether all selected files are intact.
    """
    try:
        recorded = json.loads((folder / NAME).read_bytes())
        return all(file_sha256(folder / name) == digest for name, digest in recorded.items() if wanted(name))
    except (OSError, ValueError, AttributeError):
        return False


def sealed(content: bytes) -> bytes:
    """Prepend the digest to the content of a small file."""
    return hashlib.sha256(content).digest() + content


def unsealed(whole: bytes) -> bytes | None:
    """Return the content of a small file without its digest, or None if it is damaged."""
    content = whole[DIGEST_BYTES:]
    return content if sealed(content) == whole else None


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
