"""Token ids of a text, cached for each tokenizer."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import torch

from core.base.paths import cache_dir
from core.cache.folders import cached_file

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def tokenizer_digest(tokenizer: "PreTrainedTokenizerBase") -> str | None:
    """Return the sha256 of a fast tokenizer's whole definition; None for a slow tokenizer."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return hashlib.sha256(backend.to_str().encode()).hexdigest() if backend is not None else None


def token_ids(text: str, tokenizer: "PreTrainedTokenizerBase") -> torch.Tensor:
    """Return the ids of the whole text, (tokens,) int64, with the special tokens that the tokenizer adds."""
    digest = tokenizer_digest(tokenizer)
    if digest is None:
        return torch.tensor(_encode(text, tokenizer))
    key = hashlib.sha256(f"{digest}\n{text}".encode()).hexdigest()

    def make() -> bytes:
        return np.array(_encode(text, tokenizer), dtype=np.int32).tobytes()

    return torch.from_numpy(
        np.frombuffer(cached_file(cache_dir() / "tokens" / key, make), dtype=np.int32).astype(np.int64)
    )


def _encode(text: str, tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    # verbose=False: the text may exceed the model's context, because the caller cuts it into windows.
    ids: list[int] = tokenizer(text, verbose=False)["input_ids"]
    return ids
