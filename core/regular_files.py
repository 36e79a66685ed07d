"""Regular files: those on a disk. A pipe, a socket or a device may never end, so none is read."""

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
    """Raise `UserError` where a path leads, through links, to a pipe, a socket or a device."""
    try:
        kind = SPECIAL.get(stat.S_IFMT(os.stat(path).st_mode))
    except (OSError, ValueError):  # nothing there, or no name of a file: the reader says so
        return
    if kind:
        raise UserError(f"{path} is {kind}, not a regular file; give a file on a disk.")


def read_at_most(path: Path, size: int) -> bytes:
    """Return the first bytes of a regular file, at most `size`, whatever length its folder states."""
    check_regular(path)
    with path.open("rb") as file:
        return file.read(size)
