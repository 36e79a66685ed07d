"""Large single files of the cache, each with the digest of its content in a small file beside it."""

import hashlib
import logging
from functools import cache
from pathlib import Path

from core.cache.checksums import file_sha256
from core.cache.folders import put

log = logging.getLogger(__name__)


def put_single(path: Path, content: bytes) -> None:
    """Write a file and its digest."""
    put(path, content)
    put(digest_file(path), hashlib.sha256(content).hexdigest().encode())


@cache  # pages search for the same files repeatedly
def single_intact(path: Path, time: int) -> bool:
    """Return whether a file that was changed at a time, in nanoseconds, has its digest.

    A file of an earlier version gets its digest now.
    """
    known = digest_file(path)
    if not known.exists():
        put(known, file_sha256(path).encode())
    return known.read_bytes() == file_sha256(path).encode()


def discard_single(path: Path) -> None:
    """Delete a damaged file, so that it is fetched again."""
    log.info("%s does not match its checksum, so it is fetched again.", path)
    path.unlink(missing_ok=True)
    digest_file(path).unlink(missing_ok=True)


def digest_file(path: Path) -> Path:
    """Return the path of a file's digest."""
    return path.with_suffix(".sha256")
