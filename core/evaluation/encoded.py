"""A task's requests in tokens, kept on disk for the next variant of the same model.

One file a tokenizer and task holds the requests of the task's first documents; where more are asked for, it is
made again.
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
    from core.evaluation.scorer import SharedPrefixLM


@dataclass
class Encoded:
    """`pairs` are (context, continuation) in tokens; document d owns the next `counts[d]` of them."""

    pairs: list[tuple[list[int], list[int]]]
    counts: list[int]

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
    """Return the requests of a task's first documents in tokens. `name` names the task and its text in the cache.

    `requests` gives those of one document, each a (context, continuation).
    """
    file = cache / tokenizer_hash(lm.tokenizer)[:16] / f"{sha256(name, lm_eval.__version__)[:16]}" if cache else None
    kept = load(file) if file else None
    if kept is not None and len(kept.counts) >= documents:
        return kept.first(documents)
    pairs, counts = [], []
    for document in range(documents):
        found = requests(document)
        pairs += [lm.encode(*request) for request in found]
        counts.append(len(found))
    encoded = Encoded(pairs, counts)
    if file:
        save(encoded, file)
    return encoded


def tokenizer_hash(tokenizer) -> str:
    """Return the sha256 of all that decides how a text becomes tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    state = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    return sha256(type(tokenizer).__name__, state, repr((tokenizer.bos_token_id, tokenizer.eos_token_id)))


def save(encoded: Encoded, file: Path) -> None:
    """Write the requests to a file of the cache, as npz."""
    content = io.BytesIO()
    np.savez(
        content,
        counts=np.array(encoded.counts, dtype=np.int32),
        lengths=np.array([[len(a), len(b)] for a, b in encoded.pairs], dtype=np.int32),
        tokens=np.array([token for a, b in encoded.pairs for token in (*a, *b)], dtype=np.int32),
    )
    write_small(file, content.getvalue())


def load(file: Path) -> Encoded | None:
    """Return the requests in a file; None where it does not exist or is damaged."""
    content = read_small(file)
    if content is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        counts, lengths, tokens = (stored[name] for name in ("counts", "lengths", "tokens"))
    parts = np.split(tokens, lengths.reshape(-1).cumsum()[:-1])
    flat = [part.tolist() for part in parts]
    return Encoded(list(zip(flat[::2], flat[1::2], strict=True)), counts.tolist())
