"""What is made once and kept in the user cache: whole folders, and small files such as facts about large ones."""

import errno
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

from core.cache import checksums
from core.errors import StorageError
from core.paths import cache_dir
from core.specs import sha256

log = logging.getLogger(__name__)

CACHE_BYTES = 10 * 2**30  # of each kind of thing that can be made again
FREE_BYTES = 5 * 2**30  # left on the disk
ABANDONED_SECONDS = 24 * 3600  # after which an unfinished folder is no living process's


def build_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return `folder`, filled by `make(temporary folder)` unless it exists.

    It appears whole or not at all, with its checksums, and of several processes one does the work. A folder that an
    earlier version filled gets its checksums now, as it may be impossible to fetch again.
    """
    if not folder.is_dir():
        with writing(folder.parent), FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                unfinished = f".{folder.name}-"
                for left in folder.parent.glob(f"{unfinished}*"):  # by a process that was killed
                    shutil.rmtree(left)
                with tempfile.TemporaryDirectory(dir=folder.parent, prefix=unfinished) as temporary:
                    content = Path(temporary) / "content"
                    content.mkdir()
                    make(content)
                    (content / checksums.NAME).write_bytes(checksums.digests(content))
                    on_disk(content)
                    content.rename(folder)
    if not (folder / checksums.NAME).exists():
        put(folder / checksums.NAME, checksums.digests(folder))
    return folder


def on_disk(folder: Path) -> None:
    """Wait until every file below a folder is on the disk: after a power cut a renamed one could be empty."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def keep(folder: Path, size: int, make: Callable[[Path], None]) -> None:
    """Have `folder` filled by `make(temporary folder)` with about `size` bytes, if there is room for it.

    Its siblings that were not used for longest make place; who uses one touches it.
    """
    root = folder.parent
    with writing(root):
        if size > CACHE_BYTES or shutil.disk_usage(root).free < size + FREE_BYTES:
            return
        shutil.rmtree(folder, ignore_errors=True)
        make_room(root, CACHE_BYTES - size)
    build_once(folder, make)


def make_room(root: Path, limit: int) -> None:
    """Delete the least recently used folders of `root` until what is left takes at most `limit` bytes."""
    folders = [path for path in root.iterdir() if path.is_dir()]
    unfinished = [path for path in folders if path.name.startswith(".")]
    gone = [path for path in unfinished if _age(path) > ABANDONED_SECONDS]  # its process was killed
    sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in folders if path not in unfinished}
    oldest = sorted(sizes, key=lambda path: path.stat().st_mtime)
    while sum(sizes.values()) > limit:
        gone.append(oldest.pop(0))
        del sizes[gone[-1]]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:  # another process has just finished it
        return 0.0


def cached_text(name: str, files: Sequence[Path], compute: Callable[[], str]) -> str:
    """Return `compute()`, a text that follows from the files' content; kept until a size or time of theirs changes."""
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return cached_file(cache_dir() / "facts" / sha256(name, json.dumps(stats)), lambda: compute().encode()).decode()


def cached_file(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return `make()`, kept in a small file of the cache and made again where that is damaged."""
    content = read_small(path)
    if content is None:
        content = make()
        write_small(path, content)
    return content


def read_small(path: Path) -> bytes | None:
    """Return what `write_small` wrote; None where there is nothing, or what there is is damaged."""
    try:
        whole = path.read_bytes()
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        whole = b""
    content = checksums.unsealed(whole)
    if content is None:
        log.info("%s in the cache is damaged, so it is made again.", path)
    return content


def write_small(path: Path, content: bytes) -> None:
    """Write a small file of the cache, in which `read_small` detects damage."""
    put(path, checksums.sealed(content))


def put(path: Path, content: bytes) -> None:
    """Write a file of the cache, whole or not at all."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write to that takes the place of `path` once it is on the disk whole."""
    with writing(path.parent), tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as temporary:
        try:
            yield temporary
            temporary.flush()
            os.fsync(temporary.fileno())  # a power cut after the renaming would leave an empty file
            if path.is_dir() and not path.is_symlink():  # no file can take its place
                shutil.rmtree(path)
            Path(temporary.name).replace(path)
        except BaseException:
            Path(temporary.name).unlink(missing_ok=True)
            raise


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make sure `folder` exists; a full disk or a cache that cannot be written is a `StorageError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(f"The disk is full: there is no room in {folder}.") from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise StorageError(
                f"The cache folder {folder} cannot be written; set SLIMSCOPE_CACHE to another."
            ) from None
        raise
