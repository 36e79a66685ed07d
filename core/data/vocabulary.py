"""The vocabularies of two models, which must be equal to compare their next-token distributions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from core.base.errors import UserError, echo

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PADDING = re.compile(r"\[PAD(\d+)\]")  # a row without a token in a GGUF file; its name has the id
NEEDED = "only models with the same tokens can be compared."


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
    words = " and ".join(_word(one.tokens.get(place)) for one in (first, second))
    raise UserError(f"{models}: token {place} is {words}; {NEEDED}")


def _word(token: str | None) -> str:
    return "absent" if token is None else echo(token)
