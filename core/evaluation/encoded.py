"""A task's tokenised requests, cached on disk for other variants of the same model.

One file per tokenizer and task contains the requests of the task's first documents. A request for more documents
replaces the file.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import lm_eval
import numpy as np

from core.cache.folders import read_small, write_small
from core.specs import sha256

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from core.evaluation.scorer import SharedPrefixLM


@dataclass
class Encoded:
    """Tokenised requests of several documents."""

    pairs: list[tuple[list[int], list[int]]]  # (context, continuation) of each request
    counts: list[int]  # requests of each document

    def first(self, documents: int) -> Encoded:
        counts = self.counts[:documents]
        return Encoded(self.pairs[: sum(counts)], counts)


def encode(
    lm: SharedPrefixLM,
    requests: Callable[[int], Sequence[tuple[str, str]]],
    name: str,
    documents: int,
    cache: Path | None,
) -> Encoded:
    """Tokenise the requests of a task's first documents, or read them from the cache.

    Args:
        lm: The model, for its tokenizer.
        requests: Returns the (context, continuation) pairs of the document at a place.
        name: Identifies the task and its text in the cache.
        documents: Number of documents.
        cache: Folder of the cache; None for no cache.
    """
    file = cache / tokenizer_hash(lm.tokenizer)[:16] / f"{sha256(name, lm_eval.__version__)[:16]}" if cache else None
    cached = load(file) if file else None
    if cached is not None and len(cached.counts) >= documents:
        return cached.first(documents)
    pairs, counts = [], []
    for document in range(documents):
        of_document = requests(document)
        pairs += [lm.encode(*request) for request in of_document]
        counts.append(len(of_document))
    encoded = Encoded(pairs, counts)
    if file:
        save(encoded, file)
    return encoded


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the sha256 of everything that determines how a tokenizer splits a text."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    state = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    return sha256(type(tokenizer).__name__, state, repr((tokenizer.bos_token_id, tokenizer.eos_token_id)))


def save(encoded: Encoded, file: Path) -> None:
    """Write requests to a cache file, as npz."""
    content = io.BytesIO()
    np.savez(
        content,
        counts=np.array(encoded.counts, dtype=np.int32),
        lengths=np.array([[len(a), len(b)] for a, b in encoded.pairs], dtype=np.int32),
        tokens=np.array([token for a, b in encoded.pairs for token in (*a, *b)], dtype=np.int32),
    )
    write_small(file, content.getvalue())


def load(file: Path) -> Encoded | None:
    """Return the requests in a file; None if it does not exist or is damaged."""
    content = read_small(file)
    if content is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        counts, lengths, tokens = (stored[name] for name in ("counts", "lengths", "tokens"))
    parts = np.split(tokens, lengths.reshape(-1).cumsum()[:-1])
    flat = [part.tolist() for part in parts]
    return Encoded(list(zip(flat[::2], flat[1::2], strict=True)), counts.tolist())
