"""The texts of single tokens in their context, and the tokens of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.base.window_start import window_start
from core.models.loading import sentences

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BEFORE = 8  # tokens of the prompt that decide how the first piece reads, such as by a space
UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # of bytes that are no whole character


class Pieces:
    """The text of each token of an answer; together they are the text of the answer.

    A token of a byte-level tokenizer may end inside a character. Its text is empty, and the token that completes the
    character has all of it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int]):
        self._tokenizer = tokenizer
        self._context = list(prompt[-BEFORE:])  # tokens whose text is complete
        self._open: list[int] = []  # tokens of an unfinished character

    def add(self, token: int, last: bool = False) -> str:
        """Return the text that a token completes; the `last` one also ends an unfinished character."""
        text = self._text([*self._open, token])
        self._open.append(token)
        if text.endswith(UNFINISHED) and not last:
            return ""
        self._context, self._open = [*self._context, *self._open][-BEFORE:], []
        return text

    def preview(self, token: int) -> str:
        """Return the text that a token would complete."""
        return self._text([*self._open, token])

    def _text(self, tokens: list[int]) -> str:
        """Return the text of tokens after the context, as a token alone may lose its space."""
        return self._decode([*self._context, *tokens])[len(self._decode(self._context)) :]

    def _decode(self, tokens: list[int]) -> str:
        text = self._tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)  # of one list
        return text


def prompt_ids(tokenizer: PreTrainedTokenizerBase, prompt: str, chat: bool) -> list[int]:
    """Return the tokens of a prompt, by `chat` inside the model's chat template if it has one.

    Raises:
        UserError: The template fails.
    """
    if chat and tokenizer.chat_template:
        messages = [{"role": "user", "content": prompt}]
        with sentences("The model's chat template could not be applied"):
            prompt = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        return list(tokenizer(prompt, add_special_tokens=False)["input_ids"])  # which the template writes itself
    ids, start = list(tokenizer(prompt)["input_ids"]), window_start(tokenizer)
    return ids if ids[: len(start)] == start else start + ids
