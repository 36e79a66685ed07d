"""Corpora: the identity and the content of each text.

A corpus id names one text. If the sha256 of a text differs from the catalogue's, its id becomes `name@sha8`. The id of
a user's own text file always has this form.
"""

import hashlib
import os
import re
from functools import cache
from pathlib import Path

from core.base import plugins
from core.base.errors import UserError, echo, unknown
from core.base.paths import cache_dir, check_regular, typed_path
from core.cache.folders import cached_text, put
from core.data import files
from core.data.corpus import CorpusSource, CorpusText, Pair, pairs_of, text_sha256
from core.data.texts import BY_ID, Corpus


def identify_corpus(name: str) -> CorpusSource:
    """Return the id and the source of a catalogue corpus, of a text file's path, or of an earlier id.

    Nothing is fetched. A catalogue text that is not on this machine gets the catalogue's id. A user's text is copied,
    so that its id suffices from now on.
    """
    if card := _card(name):
        file = files.find(card.file)
        return _identity(card, file) if file else CorpusSource(id=card.id, source=files.origin(card.file))
    name = _own(name)
    if _has_copy(name):
        _read_copy(name)
        return CorpusSource(id=name, source="file")
    path = _text_file(name)
    id = f"{_named(path)}@{cached_text('text', [path], lambda: text_sha256(_read(path)))[:8]}"
    if _intact_copy(id) is None:
        put(_copy(id), _read(path).encode())
    return CorpusSource(id=id, source="file")


def open_corpus(name: str) -> CorpusText:
    """Read a corpus, and fetch it if needed.

    Raises `UserError` if there is no such text, its copy is damaged, or another one has its id on this machine.
    """
    if card := _card(name):
        file = files.get(card.file)
        rows, pairs = _rows(card, file.path, file.path.stat().st_mtime_ns)
        identity = _identity(card, file)
        if "@" in name and identity.id != name:
            raise UserError(f"The text {name} is no longer on this machine, which has {identity.id}.")
        return CorpusText(name, identity, card.join.join(rows), card, rows, pairs)
    name = _own(name)
    if _has_copy(name):
        return CorpusText(name, CorpusSource(id=name, source="file"), _read_copy(name))
    path = _text_file(name)
    content = _read(path)
    source = CorpusSource(id=f"{_named(path)}@{text_sha256(content)[:8]}", source="file")
    return CorpusText(name, source, content)


def missing_file(name: str) -> str | None:
    """Return the data file of a catalogue corpus that this machine lacks; None if it is here, or unknown."""
    card = _card(name)
    return card.file if card and files.find(card.file) is None else None


def _card(name: str) -> Corpus | None:
    """Return the catalogue's entry; a catalogue id, perhaps with 8 digits of another text, is always its."""
    return BY_ID.get(re.sub(r"@[0-9a-f]{8}$", "", name))


def _own(name: str) -> str:
    """Return the path of a user's text or its id; a plug-in's text by its path."""
    return str(PLUG_INS.usable.get(name, name))


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


def _identity(corpus: Corpus, file: files.DataFile) -> CorpusSource:
    """Return the id and the source of a corpus in a file."""

    def compute() -> str:
        return text_sha256(corpus.join.join(_rows(corpus, file.path, file.path.stat().st_mtime_ns)[0]))

    digest = cached_text(f"corpus {corpus.id}", [file.path], compute)
    unknown_text = corpus.sha256 is None and file.source == "SLIMSCOPE_DATA"
    same = corpus.sha256 in (None, digest) and not unknown_text
    return CorpusSource(id=corpus.id if same else f"{corpus.id}@{digest[:8]}", source=file.source)


@cache
def _rows(corpus: Corpus, path: Path, time: int) -> tuple[tuple[str, ...], tuple[Pair, ...]]:
    """Return the rows of a catalogue's file, changed at `time` (ns), and the instructions that they are, if any."""
    table = files.table(path)
    if corpus.instructions:
        pairs = tuple(pairs_of(table.to_pylist(), corpus.file))
        return tuple("".join(pair) for pair in pairs), pairs
    if corpus.column not in table.column_names:
        raise UserError(
            f"The data file {path} has no column {corpus.column!r}; it has {', '.join(table.column_names)}."
        )
    rows = table[corpus.column].to_pylist()
    # Several questions of BoolQ share a passage.
    return tuple(dict.fromkeys(rows) if corpus.file.startswith("tasks/") else rows), ()


def default_corpora() -> tuple[str, str]:
    """Return the corpora for perplexity and calibration: the papers' if on this machine, else the embedded ones."""
    papers = ("wikitext2", "c4-sample")
    if all(files.find(BY_ID[name].file) for name in papers):
        return papers
    return "passages-eval", "passages-calibration"


def _plugin(entry: str, found: object) -> tuple[str, Path]:
    """Return the name and the path of a plug-in's text file; raise `ValueError` if there is none."""
    path = Path(str(found))
    if not path.is_file():
        raise ValueError(f"{echo(str(found))} is not the path of a text file")
    return entry, path


PLUG_INS = plugins.load("text", BY_ID, _plugin)
