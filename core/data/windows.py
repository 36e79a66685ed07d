"""Token windows cut from the text of a corpus, its token ids, and vocabularies that must be equal to be compared."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from core.base.errors import UserError, echo
from core.base.paths import cache_dir
from core.base.window_start import window_start
from core.cache.folders import cached_file
from core.data.corpora import open_corpus
from core.data.corpus import CorpusText
from core.specs import TextWindows

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

PADDING = re.compile(r"\[PAD(\d+)\]")  # a row without a token in a GGUF file; its name has the id
NEEDED = "only models with the same tokens can be compared."


@dataclass(frozen=True)
class TextData:
    """A corpus that was read, and the number and length of the sequences to take from it."""

    corpus: CorpusText
    wanted: TextWindows


def read_data(wanted: TextWindows) -> TextData:
    """Read the corpus of calibration or training data."""
    return TextData(open_corpus(wanted.corpus), wanted)


class Texts:
    """The texts of a run by their ids, each read at its first access."""

    def __init__(self) -> None:
        self._read: dict[str, CorpusText] = {}

    def corpus(self, id: str) -> CorpusText:
        """Return the text of an id; a `UserError` if it is not on this machine, or another one has its id."""
        if id not in self._read:
            self._read[id] = read = open_corpus(id)
            if read.identity.id != id:
                raise UserError(
                    f"The text of {id} on this machine differs from the catalogue's; use its id, {read.identity.id}, "
                    "instead."
                )
        return self._read[id]

    def data(self, wanted: TextWindows) -> TextData:
        """Return calibration or training data; a `UserError` as of `corpus`."""
        return TextData(self.corpus(wanted.corpus), wanted)


def evaluation_windows(
    corpus: CorpusText,
    tokenizer: PreTrainedTokenizerBase,
    window: int,
    windows: int | None = None,
    spread: bool = False,
) -> Tensor:
    """Cut a corpus' text into windows without overlap, and drop the tail.

    The text is tokenised once. Every window starts with a begin token if the model needs it there. Otherwise only the
    first window may have one. Only the first `windows` are cut, or, if `spread`, as many spread evenly over the text.

    Returns:
        Token ids, (windows, window) int64.

    Raises:
        UserError: The corpus is too short.
    """
    every = _cut(corpus.name, corpus.text, tokenizer, window, windows or 1)
    if windows is None:
        return every[: corpus.card.most_windows] if corpus.card else every
    return every[[place * len(every) // windows for place in range(windows)]] if spread else every[:windows].clone()


def calibration_windows(data: TextData, tokenizer: PreTrainedTokenizerBase, seed: int) -> Tensor:
    """Return N sequences of L tokens, (N, L) int64, from documents shuffled by `seed` and joined by two newlines."""
    shuffled = data.corpus.documents
    random.Random(seed).shuffle(shuffled)
    wanted = data.wanted
    every = _cut(data.corpus.name, "\n\n".join(shuffled), tokenizer, wanted.window, wanted.windows)
    return every[: wanted.windows].clone()


def _cut(name: str, content: str, tokenizer: PreTrainedTokenizerBase, window: int, least: int) -> Tensor:
    """Return every whole window of a text, (windows, window) int64; a `UserError` if there are fewer than `least`."""
    import torch

    ids, start = token_ids(content, tokenizer), torch.tensor(window_start(tokenizer), dtype=torch.int64)
    if len(start) and torch.equal(ids[: len(start)], start):
        ids = ids[len(start) :]  # drop the tokens that the tokenizer added
    width = window - len(start)  # of the text
    have = len(ids) // width
    if have < least:
        raise UserError(
            f"{name} is too short: with this tokenizer it has {have} windows of {window} tokens, not {least}."
        )
    return torch.cat([start.expand(have, -1), ids[: have * width].view(have, width)], 1)


def token_ids(text: str, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Return the ids of the whole text, (tokens,) int64, with the special tokens that the tokenizer adds."""
    import torch

    backend = getattr(tokenizer, "backend_tokenizer", None)  # a slow tokenizer has none
    if backend is None:
        return torch.tensor(_encode(text, tokenizer))
    digest = hashlib.sha256(backend.to_str().encode()).hexdigest()  # of the tokenizer's whole definition
    key = hashlib.sha256(f"{digest}\n{text}".encode()).hexdigest()

    def make() -> bytes:
        return np.array(_encode(text, tokenizer), dtype=np.int32).tobytes()

    return torch.from_numpy(
        np.frombuffer(cached_file(cache_dir() / "tokens" / key, make), dtype=np.int32).astype(np.int64)
    )


def _encode(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    # verbose=False: the text may exceed the model's context, because the caller cuts it into windows.
    ids: list[int] = tokenizer(text, verbose=False)["input_ids"]
    return ids


class Vocabulary(NamedTuple):
    """The tokens of a model by id, without padding."""

    model: str  # name of the model
    tokens: Mapping[int, str]


def vocabulary_of(model: str, tokenizer: PreTrainedTokenizerBase, rows: int) -> Vocabulary:
    """Return the tokens that a model with an embedding of `rows` tokens can read.

    Tokenizers may list further tokens, for which the model has no row. Rows without a token are padding.
    """
    every = sorted((place, token) for token, place in tokenizer.get_vocab().items() if place < rows)
    padding = {place for place, token in every if (named := PADDING.fullmatch(token)) and int(named[1]) == place}
    return Vocabulary(model, {place: token for place, token in every if place not in padding})


def check_same_vocabulary(first: Vocabulary, second: Vocabulary) -> None:
    """Raise `UserError` if the models differ in a token or its id."""
    if first.tokens == second.tokens:
        return
    models = f"{first.model} and {second.model} have different vocabularies"
    if len(first.tokens) != len(second.tokens):
        raise UserError(f"{models} of {len(first.tokens):,} and {len(second.tokens):,} tokens; {NEEDED}")
    places = first.tokens.keys() | second.tokens.keys()
    place = min(place for place in places if first.tokens.get(place) != second.tokens.get(place))
    words = " and ".join(echo(one.tokens[place]) if place in one.tokens else "absent" for one in (first, second))
    raise UserError(f"{models}: token {place} is {words}; {NEEDED}")
