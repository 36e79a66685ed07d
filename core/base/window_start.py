"""The begin token of every window, which some models require; an attribute of the tokenizer enables it.

The papers cut windows anywhere and put at most one begin token at the start of the whole text. Models such as Gemma
fail without one in every window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ATTRIBUTE = "begins_windows"


def begin_windows(tokenizer: PreTrainedTokenizerBase) -> None:
    """Make every window of this tokenizer start with its begin token."""
    setattr(tokenizer, ATTRIBUTE, True)


def window_start(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens at the start of every window: the begin token, or none."""
    begins = getattr(tokenizer, ATTRIBUTE, False) and tokenizer.bos_token_id is not None
    return [int(tokenizer.bos_token_id)] if begins else []


def start_protocol(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """Return the protocol entry for the start of every window; empty without a begin token."""
    return {"bos": "in every window"} if window_start(tokenizer) else {}
