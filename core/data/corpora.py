"""The texts: which corpora there are, what exactly each one's text is, and token windows cut from them.

A corpus id names one text. Where the text behind a catalogue name is another than the catalogue's, by sha256, the id
becomes `name@sha8`; a text file of the user's own always has an id of that form.
"""

import hashlib
import os
import random
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from core.cache.checksums import file_sha256
from core.cache.folders import cached_text, put
from core.data import files
from core.data.instructions import Pair, is_instructions, pairs_of, read_pairs
from core.data.texts import BY_ID, CORPORA, Corpus
from core.errors import UserError, echo, unknown
from core.paths import cache_dir, typed_path
from core.progress import Progress, silent
from core.regular_files import check_regular
from core.specs import Frozen, TextWindows
from core.window_start import window_start

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase


class CorpusSource(Frozen):
    id: str
    source: str  # where the text comes from, or would come from


def identify_corpus(name: str) -> CorpusSource:
    """Return the id and the source of a catalogue corpus, of a text file's path, or of an id given earlier.

    Fetches nothing: a catalogue text that is not on this machine is taken to be the catalogue's until it is here.
    """
    if corpus := _catalogued(name):
        found = files.find(corpus.file)
        if found is None:
            return CorpusSource(id=corpus.id, source=files.source_of(corpus.file))
        digest = cached_text(
            f"corpus {corpus.id}", [found.path], lambda: _sha(corpus.join.join(_rows(corpus, found.path)))
        )
        unknown_text = corpus.sha256 is None and found.source == "SLIMSCOPE_DATA"
        same = corpus.sha256 in (None, digest) and not unknown_text
        return CorpusSource(id=corpus.id if same else f"{corpus.id}@{digest[:8]}", source=found.source)
    path = _text_file(name)
    if path.name == name and path == _copy(name):  # not of a whole path, which `_copy` leaves as it is
        return CorpusSource(id=name, source="file")
    id = f"{_named(path)}@{cached_text('text', [path], lambda: _sha(_read(path)))[:8]}"
    if not _is_intact(id):
        put(_copy(id), _read(path).encode())
    return CorpusSource(id=id, source="file")


def documents(name: str, progress: Progress = silent) -> list[str]:
    """Return a corpus' documents: rows of the catalogue's file, or the paragraphs of a text file."""
    if corpus := _catalogued(name):
        rows = _rows(corpus, files.get(corpus.file, progress).path)
        _check_id(name)
        return [row for row in rows if row.strip()]
    path = _text_file(name)
    if is_instructions(path):
        return ["".join(pair) for pair in read_pairs(_read(path), name)]
    return [part for part in re.split(r"\n\s*\n", _read(path)) if part.strip()]


def instructions(name: str) -> list[Pair] | None:
    """Return a corpus' (prompt, answer) pairs, fetched if need be; None where it is plain text."""
    if corpus := _catalogued(name):
        if not corpus.instructions:
            return None
        path = files.get(corpus.file).path
        _check_id(name)
        return pairs_of(files.table(path).to_pylist(), corpus.id)
    path = _text_file(name)
    return read_pairs(_read(path), name) if is_instructions(path) else None


def text(name: str, progress: Progress = silent) -> str:
    """Return a corpus' text as perplexity is measured on it, fetched if need be."""
    if corpus := _catalogued(name):
        joined = corpus.join.join(_rows(corpus, files.get(corpus.file, progress).path))
        _check_id(name)
        return joined
    return _read(_text_file(name))


def evaluation_windows(
    name: str,
    tokenizer: "PreTrainedTokenizerBase",
    window: int,
    windows: int | None = None,
    spread: bool = False,
) -> "Tensor":
    """Return the first `windows` (None: all) windows of the corpus' text, (n, window) int64, or as many all over it.

    The text is tokenised once, so a begin token stands at its start at most, or in every window of a model that needs
    it there, as one of its tokens; windows do not overlap, the tail is dropped. Raises `UserError` for a corpus that is
    too short or only for calibration.
    """
    corpus = _catalogued(name)
    if corpus and corpus.calibration_only:
        raise UserError(
            f"{corpus.id} is a corpus to calibrate on; measure perplexity on one of "
            f"{', '.join(c.id for c in CORPORA if not c.calibration_only)}, or on a text file."
        )
    content = text(name)
    found = _cut(name, content, tokenizer, window, windows)
    if windows and spread:
        every = _cut(name, content, tokenizer, window, None)
        return every[[place * len(every) // windows for place in range(windows)]]
    return found[: corpus.most_windows] if corpus and windows is None else found


def calibration_windows(calibration: TextWindows, tokenizer: "PreTrainedTokenizerBase", seed: int) -> "Tensor":
    """Return N windows of L tokens, (N, L) int64: documents shuffled by `seed`, joined by two newlines."""
    shuffled = documents(calibration.corpus)
    random.Random(seed).shuffle(shuffled)
    return _cut(calibration.corpus, "\n\n".join(shuffled), tokenizer, calibration.window, calibration.windows)


def default_corpora() -> tuple[str, str]:
    """Return the corpora to measure on and to calibrate on: the papers' where they are here, else the embedded ones."""
    papers = ("wikitext2", "c4-sample")
    if all(files.find(BY_ID[name].file) for name in papers):
        return papers
    return "passages-eval", "passages-calibration"


def _cut(name: str, content: str, tokenizer: "PreTrainedTokenizerBase", window: int, windows: int | None) -> "Tensor":
    import torch

    from core.data.tokens import token_ids

    ids, start = token_ids(content, tokenizer), torch.tensor(window_start(tokenizer), dtype=torch.int64)
    if len(start) and torch.equal(ids[: len(start)], start):
        ids = ids[len(start) :]  # which the tokenizer put there
    width = window - len(start)  # of the text
    have = len(ids) // width
    if have < (windows or 1):
        raise UserError(
            f"{name} is too short: with this tokenizer it has {have} windows of {window} tokens, not {windows or 1}."
        )
    count = windows or have
    return torch.cat([start.expand(count, -1), ids[: count * width].view(count, width)], 1)


def _catalogued(name: str) -> Corpus | None:
    return BY_ID.get(re.sub(r"@[0-9a-f]{8}$", "", name))


def _check_id(name: str) -> None:
    """Raise `UserError` where `name` names a text by `@sha8` and this machine has another."""
    if "@" in name and (found := identify_corpus(name).id) != name:
        raise UserError(f"The text {name} is not on this machine any more; there is {found}.")


@cache
def _rows_of(file: str, column: str, instruct: bool, path: Path, time: int) -> tuple[str, ...]:
    table = files.table(path)
    if instruct:
        return tuple("".join(pair) for pair in pairs_of(table.to_pylist(), file))
    if column not in table.column_names:
        raise UserError(f"The data file {path} has no column {column!r}; it has {', '.join(table.column_names)}.")
    rows = table[column].to_pylist()
    # Several questions of BoolQ share a passage.
    return tuple(dict.fromkeys(rows) if file.startswith("tasks/") else rows)


def _rows(corpus: Corpus, path: Path) -> tuple[str, ...]:
    return _rows_of(corpus.file, corpus.column, corpus.instructions, path, path.stat().st_mtime_ns)


def _text_file(name: str) -> Path:
    """Return the path of a text file that `name` gives as a path or as an id.

    Raises `UserError` where there is none, or where the cache's copy of an id is damaged.
    """
    if re.fullmatch(r"[\w.+-]+@[0-9a-f]{8}", name) and os.path.lexists(_copy(name)):
        if not _is_intact(name):
            raise UserError(
                f"The cache's copy of {name} is damaged; give the path of the original text, which replaces the copy."
            )
        return _copy(name)
    path = typed_path(name)
    check_regular(path)
    if os.path.isfile(path):
        return path.resolve()
    if "/" in name or path.suffix:
        raise UserError(f"There is no text file {echo(name)}; corpora with a name are {', '.join(BY_ID)}.")
    raise unknown("corpus", name, BY_ID)


def _copy(id: str) -> Path:
    """Where a user's text is kept, so that its id is enough to run again what was run on it."""
    return cache_dir() / "texts" / id


def _is_intact(id: str) -> bool:
    """Whether the cache holds the text of an id, which ends in the first digits of its sha256."""
    try:
        return file_sha256(_copy(id)).startswith(id.rpartition("@")[2])
    except OSError:
        return False


def _named(path: Path) -> str:
    """Return the name part of a text file's id: its own name, or the one its copy was given."""
    if path.parent == _copy("x").parent:
        return path.name.rsplit("@", 1)[0]
    name = re.sub(r"[^\w.+-]", "-", path.name)
    return f"{name}.txt" if name in BY_ID else name  # the catalogue's names are its own


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


def _sha(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
