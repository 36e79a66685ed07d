"""Limits of one import: the kinds, number and sizes of its files."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.base.errors import UserError, short
from core.base.paths import read_at_most

MEGABYTE = 1_000_000
TABLE_BYTES = 20 * MEGABYTE  # of a results file or a CSV
SAMPLES_BYTES = 50 * MEGABYTE  # of all samples together
MOST_FILES = 100
SHOWN = 60  # characters of a file name in an error
ENDINGS = (".json", ".jsonl", ".csv")
WANTED = "a results_*.json of lm_eval with its samples_*.jsonl, or CSV files"


@dataclass(frozen=True)
class Upload:
    """A file's content and name; the name is only shown, and parsed for kind and task."""

    name: str
    content: bytes

    @property
    def ending(self) -> str:
        return Path(self.name).suffix.lower()

    @property
    def shown(self) -> str:
        """The name for messages: its last part, printable and short."""
        last = re.split(r"[/\\]", self.name)[-1]
        return "".join(sign if sign.isprintable() else "?" for sign in last)[-SHOWN:]

    @property
    def text(self) -> str:
        """The content as text; it must be UTF-8."""
        try:
            return self.content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise UserError(f"{self.shown} is not UTF-8 text.") from None


def read_files(files: Iterable[Path]) -> tuple[Upload, ...]:
    """Return regular files of this machine; raise `UserError` if one is too large."""
    files = tuple(files)
    _check_count(len(files))
    found, samples = [], 0
    for file in files:
        try:
            upload = Upload(file.name, b"")
            check_sizes([(upload, 0)], samples)
            most = SAMPLES_BYTES - samples if upload.ending == ".jsonl" else TABLE_BYTES
            upload = replace(upload, content=read_at_most(file, most + 1))
            size = max(file.stat().st_size, len(upload.content))
            samples += size if upload.ending == ".jsonl" else 0
            check_sizes([(upload, size)], samples)
            found.append(upload)
        except OSError as error:
            raise UserError(f"{short(str(file))} cannot be read: {error.strerror or error}.") from None
    return tuple(found)


def check(uploads: Sequence[Upload]) -> None:
    """Raise `UserError` for too many files, or for one of another kind or size."""
    _check_count(len(uploads))
    samples = sum(len(upload.content) for upload in uploads if upload.ending == ".jsonl")
    check_sizes([(upload, len(upload.content)) for upload in uploads], samples)


def check_sizes(sizes: Iterable[tuple[Upload, int]], samples: int) -> None:
    """Raise `UserError` for a file of another kind or too large; `samples` is the total size of samples."""
    for upload, size in sizes:
        if upload.ending not in ENDINGS:
            raise UserError(f"{upload.shown} cannot be imported; give {WANTED}.")
        if upload.ending != ".jsonl" and size > TABLE_BYTES:
            raise UserError(f"{upload.shown} has {_megabytes(size)}; at most {_megabytes(TABLE_BYTES)} are read.")
    if samples > SAMPLES_BYTES:
        raise UserError(
            f"The samples have {_megabytes(samples)} together; at most {_megabytes(SAMPLES_BYTES)} are read. "
            "Import fewer tasks at once, or the results without samples."
        )


def _check_count(count: int) -> None:
    if not 0 < count <= MOST_FILES:
        raise UserError(f"{count} files are given; give 1 to {MOST_FILES}: {WANTED}.")


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:.1f} MB"
