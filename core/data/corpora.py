"""Corpora: the identity of each text, and token windows cut from it.

A corpus id names one text. If the sha256 of a text differs from the catalogue's, its id becomes `name@sha8`. The id of
a user's own text file always has this form.
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
    """The id and the source of a corpus."""

    id: str
    source: str  # where the text comes from, or would come from


def identify_corpus(name: str) -> CorpusSource:
    """Return the id and the source of a catalogue corpus, of a text file's path, or of an earlier id.

    Nothing is fetched. A catalogue text that is not on this machine gets the catalogue's id.
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
    if path.name == name and path == _copy(name):  # false for an absolute path, which `_copy` returns unchanged
        return CorpusSource(id=name, source="file")
    id = f"{_named(path)}@{cached_text('text', [path], lambda: _sha(_read(path)))[:8]}"
    if not _is_intact(id):
        put(_copy(id), _read(path).encode())
    return CorpusSource(id=id, source="file")


def documents(name: str, progress: Progress = silent) -> list[str]:
    """Return a corpus' documents: the rows of the catalogue's file, or the paragraphs or pairs of a user's file."""
    if corpus := _catalogued(name):
        rows = _rows(corpus, files.get(corpus.file, progress).path)
        _check_id(name)
        return [row for row in rows if row.strip()]
    path = _text_file(name)
    if is_instructions(path):
        return ["".join(pair) for pair in read_pairs(_read(path), name)]
    return [part for part in re.split(r"\n\s*\n", _read(path)) if part.strip()]


def instructions(name: str) -> list[Pair] | None:
    """Return a corpus' (prompt, answer) pairs, and fetch them if needed; None if it is plain text."""
    if corpus := _catalogued(name):
        if not corpus.instructions:
            return None
        path = files.get(corpus.file).path
        _check_id(name)
        return pairs_of(files.table(path).to_pylist(), corpus.id)
    path = _text_file(name)
    return read_pairs(_read(path), name) if is_instructions(path) else None


def text(name: str, progress: Progress = silent) -> str:
    """Return a corpus' text for perplexity, and fetch it if needed."""
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
    """Cut a corpus' text into windows without overlap, and drop the tail.

    The text is tokenised once. Every window starts with a begin token if the model needs it there. Otherwise only the
    first window may have one.

    Args:
        name: A corpus id.
        tokenizer: The tokenizer of the model.
        window: Tokens per window.
        windows: The number of windows; None means all.
        spread: Spread the windows evenly over the text instead of taking the first ones.

    Returns:
        Token ids, (windows, window) int64.

    Raises:
        UserError: The corpus is too short, or only for calibration.
    """
    corpus = _catalogued(name)
    if corpus and corpus.calibration_only:
        raise UserError(
            f"{corpus.id} is only for calibration; measure perplexity on one of "
            f"{', '.join(c.id for c in CORPORA if not c.calibration_only)}, or on a text file."
        )
    content = text(name)
    first = _cut(name, content, tokenizer, window, windows)
    if windows and spread:
        every = _cut(name, content, tokenizer, window, None)
        return every[[place * len(every) // windows for place in range(windows)]]
    return first[: corpus.most_windows] if corpus and windows is None else first


def calibration_windows(calibration: TextWindows, tokenizer: "PreTrainedTokenizerBase", seed: int) -> "Tensor":
    """Return N sequences of L tokens, (N, L) int64, from documents shuffled by `seed` and joined by two newlines."""
    shuffled = documents(calibration.corpus)
    random.Random(seed).shuffle(shuffled)
    return _cut(calibration.corpus, "\n\n".join(shuffled), tokenizer, calibration.window, calibration.windows)


def default_corpora() -> tuple[str, str]:
    """Return the corpora for perplexity and calibration: the papers' if on this machine, else the embedded ones."""
    papers = ("wikitext2", "c4-sample")
    if all(files.find(BY_ID[name].file) for name in papers):
        return papers
    return "passages-eval", "passages-calibration"


def _cut(name: str, content: str, tokenizer: "PreTrainedTokenizerBase", window: int, windows: int | None) -> "Tensor":
    import torch

    from core.data.tokens import token_ids

    ids, start = token_ids(content, tokenizer), torch.tensor(window_start(tokenizer), dtype=torch.int64)
    if len(start) and torch.equal(ids[: len(start)], start):
        ids = ids[len(start) :]  # drop the tokens that the tokenizer added
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
    """Raise `UserError` if `name` has the form `name@sha8` and the text on this machine is another."""
    if "@" in name and (current := identify_corpus(name).id) != name:
        raise UserError(f"The text {name} is no longer on this machine, which has {current}.")


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
    """Return the path of a text file, given by its path or id.

    Raises:
        UserError: There is no such file, or the cached copy of an id is damaged.
    """
    if re.fullmatch(r"[\w.+-]+@[0-9a-f]{8}", name) and os.path.lexists(_copy(name)):
        if not _is_intact(name):
            raise UserError(f"The cached copy of {name} is damaged; give the path of the original text to replace it.")
        return _copy(name)
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


def _is_intact(id: str) -> bool:
    """Return whether the cached copy matches an id, which ends in the first digits of the text's sha256."""
    try:
        return file_sha256(_copy(id)).startswith(id.rpartition("@")[2])
    except OSError:
        return False


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


def _sha(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
