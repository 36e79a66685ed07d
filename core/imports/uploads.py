"""What may be imported at once: which files, and how large."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import UserError, short
from core.regular_files import read_at_most

MEGABYTE = 1_000_000
TABLE_BYTES = 20 * MEGABYTE  # of a file of results or a CSV
SAMPLES_BYTES = 50 * MEGABYTE  # of all samples together
MOST_FILES = 100
SHOWN = 60  # signs of a file's name in a sentence
ENDINGS = (".json", ".jsonl", ".csv")
WANTED = "a results_*.json of lm_eval with its samples_*.jsonl, or CSV files"


@dataclass(frozen=True)
class Upload:
    """A file by its name, which is only shown and read for its kind and task, and what is in it."""

    name: str
    content: bytes

    @property
    def ending(self) -> str:
        return Path(self.name).suffix.lower()

    @property
    def shown(self) -> str:
        """The name as sentences have it: its last part, printable and short."""
        last = re.split(r"[/\\]", self.name)[-1]
        return "".join(sign if sign.isprintable() else "?" for sign in last)[-SHOWN:]

    @property
    def text(self) -> str:
        """The content of a file that must be UTF-8."""
        try:
            return self.content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise UserError(f"{self.shown} is not UTF-8 text.") from None


def read_files(files: Iterable[Path]) -> tuple[Upload, ...]:
    """Return regular files of this machine, none of which is too large."""
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
    """Raise `UserError` where there are too many files, or one is of another kind or too large."""
    _check_count(len(uploads))
    samples = sum(len(upload.content) for upload in uploads if upload.ending == ".jsonl")
    check_sizes([(upload, len(upload.content)) for upload in uploads], samples)


def check_sizes(sizes: Iterable[tuple[Upload, int]], samples: int) -> None:
    """Raise `UserError` where a file is of another kind or of too many bytes; `samples` are those of all samples."""
    for upload, size in sizes:
        if upload.ending not in ENDINGS:
            raise UserError(f"{upload.shown} is not one of the files that can be imported: {WANTED}.")
        if upload.ending != ".jsonl" and size > TABLE_BYTES:
            raise UserError(f"{upload.shown} has {_megabytes(size)}; at most {_megabytes(TABLE_BYTES)} are read.")
    if samples > SAMPLES_BYTES:
        raise UserError(
            f"The samples have {_megabytes(samples)} together; at most {_megabytes(SAMPLES_BYTES)} are read: import "
            "fewer tasks at once, or the results without samples."
        )


def _check_count(count: int) -> None:
    if not 0 < count <= MOST_FILES:
        raise UserError(f"{count} files are given; give 1 to {MOST_FILES}: {WANTED}.")


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:.1f} MB"
