"""Token ids of a text, and the tokens of a model, which must be equal to compare next-token distributions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from core.base.errors import UserError, echo
from core.base.paths import cache_dir
from core.cache.folders import cached_file

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PADDING = re.compile(r"\[PAD(\d+)\]")  # a row without a token in a GGUF file; its name has the id
NEEDED = "only models with the same tokens can be compared."


def token_ids(text: str, tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    """Return the ids of the whole text, (tokens,) int64, with the special tokens that the tokenizer adds."""
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
