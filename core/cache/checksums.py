"""Checksums of all that the cache keeps: stored with it, verified before it is read.

sha256, as processors have instructions for it; `benchmarks.checksums` compares it with others. A folder holds the
digests of its files in a file of its own, a small file begins with its digest, a stream ends with it.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import IO

NAME = "checksums.json"
DIGEST_BYTES = 32


def file_sha256(path: Path) -> str:
    """Return the hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> bytes:
    """Return the content of a folder's `NAME`: the digest of every other file below it, as JSON."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    return json.dumps({path.relative_to(folder).as_posix(): file_sha256(path) for path in files}).encode()


def intact(folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> bool:
    """Whether all files of a folder have the digests in its `NAME`; False where it has no `NAME`.

    Args:
        folder: A folder of the cache.
        wanted: Whether the caller reads a file of this relative path; others are not verified.
    """
    try:
        recorded = json.loads((folder / NAME).read_bytes())
        return all(file_sha256(folder / name) == digest for name, digest in recorded.items() if wanted(name))
    except (OSError, ValueError, AttributeError):
        return False


def sealed(content: bytes) -> bytes:
    """Return the bytes of a small file: the digest of its content, then the content."""
    return hashlib.sha256(content).digest() + content


def unsealed(whole: bytes) -> bytes | None:
    """Return the content of a small file; None where it is damaged."""
    content = whole[DIGEST_BYTES:]
    return content if sealed(content) == whole else None


def end_with_digest(file: IO[bytes]) -> None:
    """Append the digest of all that a file opened for reading and writing holds, such as a zip archive."""
    file.flush()
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type] # typeshed wants readinto
    file.write(digest)


def ends_with_digest(path: Path) -> bool:
    """Whether a file ends with the digest of what precedes it."""
    with path.open("rb") as file:
        left = path.stat().st_size - DIGEST_BYTES
        total = hashlib.sha256()
        while left > 0 and (part := file.read(min(left, 2**20))):
            total.update(part)
            left -= len(part)
        return file.read() == total.digest()
