"""A text of the catalogue, in a data file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.base.errors import UserError
from core.base.progress import Progress
from core.cache.folders import cached_text
from core.data import files
from core.data.corpus import CorpusSource, CorpusText, text_sha256
from core.data.instructions import Pair, pairs_of
from core.data.origins.base import DataFile
from core.data.texts import Corpus


@dataclass(frozen=True)
class CatalogueText:
    """A text of the catalogue; its name is the id, with 8 digits if a machine had another text under this id."""

    name: str
    card: Corpus

    def identify(self) -> CorpusSource:
        """Return the id and the source; the catalogue's id for a text that is not on this machine."""
        file = files.find(self.card.file)
        if file is None:
            return CorpusSource(id=self.card.id, source=files.origin(self.card.file))
        return _identity(self.card, file)

    def open_text(self, progress: Progress) -> CorpusText:
        """Read the text, and fetch it if needed; raise `UserError` if another one has its id on this machine."""
        file = files.get(self.card.file, progress)
        rows, pairs = _rows(self.card, file.path)
        identity = _identity(self.card, file)
        if "@" in self.name and identity.id != self.name:
            raise UserError(f"The text {self.name} is no longer on this machine, which has {identity.id}.")
        return CorpusText(self.name, identity, self.card.join.join(rows), self.card, rows, pairs)


def _identity(corpus: Corpus, file: DataFile) -> CorpusSource:
    """Return the id and the source of a corpus in a file."""
    digest = cached_text(
        f"corpus {corpus.id}", [file.path], lambda: text_sha256(corpus.join.join(_rows(corpus, file.path)[0]))
    )
    unknown_text = corpus.sha256 is None and file.source == "SLIMSCOPE_DATA"
    same = corpus.sha256 in (None, digest) and not unknown_text
    return CorpusSource(id=corpus.id if same else f"{corpus.id}@{digest[:8]}", source=file.source)


def _rows(corpus: Corpus, path: Path) -> tuple[tuple[str, ...], tuple[Pair, ...]]:
    """Return the rows of a catalogue's file, and the instructions that they are, if any."""
    return _rows_of(corpus.file, corpus.column, corpus.instructions, path, path.stat().st_mtime_ns)


@cache
def _rows_of(file: str, column: str, instruct: bool, path: Path, time: int) -> tuple[tuple[str, ...], tuple[Pair, ...]]:
    table = files.table(path)
    if instruct:
        pairs = tuple(pairs_of(table.to_pylist(), file))
        return tuple("".join(pair) for pair in pairs), pairs
    if column not in table.column_names:
        raise UserError(f"The data file {path} has no column {column!r}; it has {', '.join(table.column_names)}.")
    rows = table[column].to_pylist()
    # Several questions of BoolQ share a passage.
    return tuple(dict.fromkeys(rows) if file.startswith("tasks/") else rows), ()
