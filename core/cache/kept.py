"""What is made once and kept in the user cache: whole folders, and small facts about large files."""

import errno
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from core.errors import UserError
from core.paths import cache_dir

CACHE_BYTES = 10 * 2**30  # of each kind of thing that can be made again
FREE_BYTES = 5 * 2**30  # left on the disk
ABANDONED_SECONDS = 24 * 3600  # after which an unfinished folder is no living process's


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return `folder`, filled by `make(temporary folder)` unless it exists.

    It appears whole or not at all, and of several processes one does the work.
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
                    content.rename(folder)
    return folder


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
    once(folder, make)


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


def fact(name: str, files: Sequence[Path], compute: Callable[[], str]) -> str:
    """Return `compute()`, a text that follows from the files' content; kept until a size or time of theirs changes."""
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    kept = cache_dir() / "facts" / hashlib.sha256(json.dumps([name, stats]).encode()).hexdigest()
    if not kept.is_file():
        put(kept, compute().encode())
    return kept.read_text()


def put(path: Path, content: bytes) -> None:
    """Write a file of the cache, whole or not at all."""
    with writing(path.parent), tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as temporary:
        temporary.write(content)
        temporary.close()
        Path(temporary.name).replace(path)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make sure `folder` exists; a full disk or a cache that cannot be written is a `UserError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"The disk is full: there is no room in {folder}.") from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise UserError(f"The cache folder {folder} cannot be written; set SLIMSCOPE_CACHE to another.") from None
        raise
