"""A user's own text: a file by its path, or the cached copy of one by its id."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from core.base.errors import UserError, echo, unknown
from core.base.paths import cache_dir, typed_path
from core.base.progress import Progress
from core.base.regular_files import check_regular
from core.cache.folders import cached_text, put
from core.data.corpus import CorpusSource, CorpusText, text_sha256
from core.data.texts import BY_ID


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

    def open_text(self, progress: Progress) -> CorpusText:
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
