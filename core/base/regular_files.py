"""Checks that only regular files are read, because a pipe, a socket, a device or a file of the kernel may never end."""

import os
import stat
from pathlib import Path

from core.base.errors import UserError

SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
KERNEL = ("/proc/", "/sys/")  # they call their files regular, but reading one may wait for ever


def check_regular(path: Path) -> None:
    """Raise `UserError` if a path, with links resolved, is a pipe, a socket, a device or a file of the kernel."""
    try:
        kind = SPECIAL.get(stat.S_IFMT(os.stat(path).st_mode))
    except (OSError, ValueError):  # a missing file or an invalid name: the reader reports it
        return
    if kind is None and os.path.realpath(path).startswith(KERNEL):
        kind = "a file of the kernel"
    if kind:
        raise UserError(f"{path} is {kind}, not a regular file; give a file on a disk.")


def read_at_most(path: Path, size: int) -> bytes:
    """Return at most the first `size` bytes of a regular file, whatever size the file system reports."""
    check_regular(path)
    with path.open("rb") as file:
        return file.read(size)
