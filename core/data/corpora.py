"""Corpora: the identity and the content of each text.

A corpus id names one text. If the sha256 of a text differs from the catalogue's, its id becomes `name@sha8`. The id of
a user's own text file always has this form.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.base import plugins
from core.base.errors import UserError, echo, unknown
from core.base.paths import cache_dir, typed_path
from core.base.regular_files import check_regular
from core.cache.folders import cached_text, put
from core.data import files
from core.data.corpus import CorpusSource, CorpusText, Pair, pairs_of, text_sha256
from core.data.texts import BY_ID, Corpus


@dataclass(frozen=True)
class UserText:
    """A user's own text, by the path of a file or by its id."""

    name: str

    def identify(self) -> CorpusSource:
        """Return the id and the source; store a copy, so that the id suffices from now on."""
        if _has_copy(self.name):
            _read_copy(self.name)
            return CorpusSource(id=self.name, source="file")
        path = _text_file(self.name)
        id = f"{_named(path)}@{cached_text('text', [path], lambda: text_sha256(_read(path)))[:8]}"
        if _intact_copy(id) is None:
            put(_copy(id), _read(path).encode())
        return CorpusSource(id=id, source="file")

    def open_text(self) -> CorpusText:
        """Read the text; raise `UserError` if there is none, or its copy is damaged."""
        if _has_copy(self.name):
            return CorpusText(self.name, CorpusSource(id=self.name, source="file"), _read_copy(self.name))
        path = _text_file(self.name)
        content = _read(path)
        id = f"{_named(path)}@{text_sha256(content)[:8]}"
        return CorpusText(self.name, CorpusSource(id=id, source="file"), content)


def _text_file(name: str) -> Path:
    """Return the path of a user's text file; raise `UserError` if there is none."""
    path = typed_path(name)
    check_regular(path)
    if os.path.isfile(path):
        return path.resolve()
    if "/" in name or path.suffix:
        raise UserError(f"There is no text file {echo(name)}; the named corpora are {', '.join(BY_ID)}.")
    raise unknown("corpus", name, BY_ID)


def _copy(id: str) -> Path:
    """Return the path of the cached copy of a user's text, which makes runs reproducible by its id."""
    return cache_dir() / "texts" / id


def _has_copy(name: str) -> bool:
    """Return whether a name is the id of a user's text with a cached copy, which may be damaged."""
    return re.fullmatch(r"[\w.+-]+@[0-9a-f]{8}", name) is not None and os.path.lexists(_copy(name))


def _read_copy(id: str) -> str:
    """Return the text of a cached copy; raise `UserError` if it is damaged."""
    content = _intact_copy(id)
    if content is None:
        raise UserError(f"The cached copy of {id} is damaged; give the path of the original text to replace it.")
    return content


def _intact_copy(id: str) -> str | None:
    """Return the text of a cached copy; None unless its sha256 begins with the digits at the end of the id."""
    try:
        content = _copy(id).read_bytes()
    except OSError:
        return None
    return content.decode() if hashlib.sha256(content).hexdigest().startswith(id.rpartition("@")[2]) else None


def _named(path: Path) -> str:
    """Return the name part of a text file's id: the name of the file or of its cached copy."""
    if path.parent == _copy("x").parent:
        return path.name.rsplit("@", 1)[0]
    name = re.sub(r"[^\w.+-]", "-", path.name)
    return f"{name}.txt" if name in BY_ID else name  # catalogue names are reserved


def _read(path: Path) -> str:
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    if not content.strip():
        raise UserError(f"{path} is empty.")
    return content


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

    def open_text(self) -> CorpusText:
        """Read the text, and fetch it if needed; raise `UserError` if another one has its id on this machine."""
        file = files.get(self.card.file)
        rows, pairs = _rows(self.card, file.path)
        identity = _identity(self.card, file)
        if "@" in self.name and identity.id != self.name:
            raise UserError(f"The text {self.name} is no longer on this machine, which has {identity.id}.")
        return CorpusText(self.name, identity, self.card.join.join(rows), self.card, rows, pairs)


def _identity(corpus: Corpus, file: files.DataFile) -> CorpusSource:
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


def identify_corpus(name: str) -> CorpusSource:
    """Return the id and the source of a catalogue corpus, of a text file's path, or of an earlier id.

    Nothing is fetched. A catalogue text that is not on this machine gets the catalogue's id.
    """
    return _text(name).identify()


def open_corpus(name: str) -> CorpusText:
    """Read a corpus, and fetch it if needed.

    Raises:
        UserError: There is no such text, or another one has its id on this machine.
    """
    return _text(name).open_text()


def default_corpora() -> tuple[str, str]:
    """Return the corpora for perplexity and calibration: the papers' if on this machine, else the embedded ones."""
    papers = ("wikitext2", "c4-sample")
    if all(files.find(BY_ID[name].file) for name in papers):
        return papers
    return "passages-eval", "passages-calibration"


def _text(name: str) -> CatalogueText | UserText:
    """Return the text of a name, unread: a catalogue id always names the catalogue's text."""
    card = BY_ID.get(re.sub(r"@[0-9a-f]{8}$", "", name))
    return CatalogueText(name, card) if card else UserText(str(PLUG_INS.usable.get(name, name)))


def _plugin(entry: str, found: object) -> tuple[str, Path]:
    """Return the name and the path of a plug-in's text file; raise `ValueError` if there is none."""
    path = Path(str(found))
    if not path.is_file():
        raise ValueError(f"{echo(str(found))} is not the path of a text file")
    return entry, path


PLUG_INS = plugins.load("text", BY_ID, _plugin)
