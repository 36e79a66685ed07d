"""Storage of the user cache: whole folders, and small files such as facts about large ones."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from filelock import FileLock

from core.base.paths import cache_dir
from core.cache import disk
from core.cache.disk import room, writing
from core.specs import sha256

log = logging.getLogger(__name__)

CACHE_BYTES = 10 * 2**30  # per kind of reproducible content
ABANDONED_SECONDS = 24 * 3600  # after which the process of an unfinished folder counts as killed


def build_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Fill `folder` by `make(temporary folder)` unless it exists, and return it.

    The folder appears complete with its checksums, or not at all. Only one of several processes does the work. A folder
    of an earlier version gets its checksums now instead of a new download, which might be impossible.
    """
    if not folder.is_dir():
        with writing(folder.parent), FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                unfinished = f".{folder.name}-"
                for leftover in folder.parent.glob(f"{unfinished}*"):  # of a killed process
                    shutil.rmtree(leftover)
                with tempfile.TemporaryDirectory(dir=folder.parent, prefix=unfinished) as temporary:
                    content = Path(temporary) / "content"
                    content.mkdir()
                    make(content)
                    (content / disk.NAME).write_bytes(disk.digests(content))
                    on_disk(content)
                    content.rename(folder)
    if not (folder / disk.NAME).exists():
        put(folder / disk.NAME, disk.digests(folder))
    return folder


def on_disk(folder: Path) -> None:
    """Flush every file below a folder to the disk; otherwise a power cut could leave renamed files empty."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def keep(folder: Path, size: int, make: Callable[[Path], None], alone: bool = False) -> None:
    """Fill `folder` by `make(temporary folder)` with about `size` bytes if the disk has room.

    It deletes the least recently used siblings; a folder above `CACHE_BYTES` is kept only if it can be the only one,
    `alone`. Whoever uses a folder must update its modification time.
    """
    root = folder.parent
    with writing(root):
        if (size > CACHE_BYTES and not alone) or size > room(root):
            return
        shutil.rmtree(folder, ignore_errors=True)
        make_room(root, max(0, CACHE_BYTES - size))
    build_once(folder, make)


def make_room(root: Path, limit: int) -> None:
    """Delete the least recently used folders of `root` until the others take at most `limit` bytes."""
    folders = [path for path in root.iterdir() if path.is_dir()]
    unfinished = [path for path in folders if path.name.startswith(".")]
    doomed = [path for path in unfinished if _age(path) > ABANDONED_SECONDS]
    sizes = {path: sum(file.stat().st_size for file in path.rglob("*")) for path in folders if path not in unfinished}
    oldest = sorted(sizes, key=lambda path: path.stat().st_mtime)
    while sum(sizes.values()) > limit:
        doomed.append(oldest.pop(0))
        del sizes[doomed[-1]]
    for path in doomed:
        shutil.rmtree(path, ignore_errors=True)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:  # another process has just finished it
        return 0.0


def cached_text(name: str, files: Sequence[Path], compute: Callable[[], str]) -> str:
    """Return `compute()`, a text derived from files, cached until a size or modification time changes."""
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return cached_file(cache_dir() / "facts" / sha256(name, json.dumps(stats)), lambda: compute().encode()).decode()


def cached_file(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return `make()`, cached in a small file; a damaged file is replaced."""
    content = read_small(path)
    if content is None:
        content = make()
        write_small(path, content)
    return content


def read_small(path: Path) -> bytes | None:
    """Return the content that `write_small` wrote, or None if the file is missing or damaged."""
    try:
        whole = path.read_bytes()
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        whole = b""
    content = whole[disk.DIGEST_BYTES :]
    if hashlib.sha256(content).digest() == whole[: disk.DIGEST_BYTES]:
        return content
    log.info("%s in the cache is damaged and will be replaced.", path)
    return None


def write_small(path: Path, content: bytes) -> None:
    """Write a small file of the cache, with the digest for `read_small`."""
    put(path, hashlib.sha256(content).digest() + content)


def put(path: Path, content: bytes) -> None:
    """Write a file of the cache atomically."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a temporary file that replaces `path` once it is complete and on the disk."""
    with writing(path.parent), tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as temporary:
        try:
            yield temporary
            temporary.flush()
            os.fsync(temporary.fileno())  # else a power cut after the renaming could leave an empty file
            if path.is_dir() and not path.is_symlink():  # a file cannot replace a folder
                shutil.rmtree(path)
            Path(temporary.name).replace(path)
        except BaseException:
            Path(temporary.name).unlink(missing_ok=True)
            raise
