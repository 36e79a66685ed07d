"""What every window of a text begins with, noted on the tokenizer that the windows are cut with.

The papers' models read windows cut anywhere, with a begin token at the text's start at most. Others fail without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ATTRIBUTE = "begins_windows"


def begin_windows(tokenizer: PreTrainedTokenizerBase) -> None:
    """Let every window that is cut with a tokenizer begin with its begin token."""
    setattr(tokenizer, ATTRIBUTE, True)


def window_start(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens that every window begins with."""
    begins = getattr(tokenizer, ATTRIBUTE, False) and tokenizer.bos_token_id is not None
    return [int(tokenizer.bos_token_id)] if begins else []


def start_protocol(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """Return what the protocol of a number on windows says of their start."""
    return {"bos": "in every window"} if window_start(tokenizer) else {}
