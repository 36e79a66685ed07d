"""Paths of the project, the user cache and the results on this machine, and checks of paths.

Only regular files are read, because a pipe, a socket, a device or a file of the kernel may never end.
"""

import os
import stat
import tempfile
from pathlib import Path

from platformdirs import user_cache_path, user_data_path

from core.base.errors import UserError

PROJECT = Path(__file__).resolve().parents[2]  # the checkout, or the folder of installed packages
IS_CHECKOUT = (PROJECT / "pyproject.toml").is_file()
CACHED_RESULTS = (PROJECT if IS_CHECKOUT else PROJECT / "slimscope") / "cached_results"
SHIPPED_MEASURED = CACHED_RESULTS / "measured"
SHIPPED_PUBLISHED = CACHED_RESULTS / "published"
PAGES = PROJECT / ("docs" if IS_CHECKOUT else "slimscope")
GLOSSARY, PLUG_IN_GUIDE = PAGES / "glossary.md", PAGES / "plug-ins.md"
CORRELATIONS = CACHED_RESULTS / "correlations.json"  # of window losses, for standard errors
SHIPPED_ANSWERS = CACHED_RESULTS / "answers.jsonl"
SHIPPED_FILES = CACHED_RESULTS / "files.jsonl"  # distances of exported files
SPECIAL = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
KERNEL = ("/proc/", "/sys/")  # they call their files regular, but reading one may wait for ever


def cache_dir() -> Path:
    """Return the user cache (`SLIMSCOPE_CACHE` or the platform's) with downloads, cached variants and statistics."""
    return Path(os.environ.get("SLIMSCOPE_CACHE") or user_cache_path("slimscope"))


def typed_path(text: str) -> Path:
    """Return the path that a user typed, with `~` expanded if that user has a home folder."""
    return Path(os.path.expanduser(text))


def variants_dir() -> Path:
    """Return the folder of the cached variants, which need not exist."""
    return cache_dir() / "variants"


def cached_variant(key: str) -> Path:
    """Return the cache folder of a variant, which need not exist."""
    return variants_dir() / key


def data_dir() -> Path | None:
    """Return the folder that `SLIMSCOPE_DATA` names, or None if it is not set."""
    value = os.environ.get("SLIMSCOPE_DATA")
    return typed_path(value).resolve() if value else None


def local_results_dir() -> Path:
    """Return the folder of the user's own results: database, samples, job logs and compute lock.

    It is `SLIMSCOPE_RESULTS`, else `cached_results` of a checkout, else the platform's folder for user data.
    """
    if chosen := os.environ.get("SLIMSCOPE_RESULTS"):
        return Path(chosen)
    return CACHED_RESULTS if IS_CHECKOUT else user_data_path("slimscope")


def unwritable(folder: Path) -> str | None:
    """Return the reason why a folder is not writable, or None; create the folder if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return unwritable_words(folder, error)


def unwritable_words(folder: Path, error: OSError) -> str:
    """Return the message for a failure to write into the results folder."""
    return (
        f"The results folder {folder} is not writable ({error.strerror or error}), so no job starts; "
        "make it writable, or set SLIMSCOPE_RESULTS to another folder."
    )


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
