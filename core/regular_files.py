"""Checks that only regular files are read, because a pipe, a socket or a device may never end."""

import os
import stat
from pathlib import Path

from core.errors import UserError

SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_regular(path: Path) -> None:
    """Raise `UserError` if a path, with links resolved, is a pipe, a socket or a device."""
    try:
        kind = SPECIAL.get(stat.S_IFMT(os.stat(path).st_mode))
    except (OSError, ValueError):  # a missing file or an invalid name: the reader reports it
        return
    if kind:
        raise UserError(f"{path} is {kind}, not a regular file; give a file on a disk.")


def read_at_most(path: Path, size: int) -> bytes:
    """Return at most the first `size` bytes of a regular file, whatever size the file system reports."""
    check_regular(path)
    with path.open("rb") as file:
        return file.read(size)
