"""A task's requests in tokens, kept on disk for the next variant of the same model.

One file a tokenizer and task holds the requests of the task's first documents; where more are asked for, it is
made again.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import lm_eval
import numpy as np

from core.cache.kept import read_small, write_small
from core.errors import UserError
from core.specs import sha256

if TYPE_CHECKING:
    from lm_eval.api.task import Task

    from core.evaluation.scorer import SharedPrefixLM


@dataclass
class Encoded:
    """`pairs` are (context, continuation) in tokens; document d owns the next `counts[d]` of them."""

    pairs: list[tuple[list[int], list[int]]]
    counts: list[int]

    def first(self, documents: int) -> Encoded:
        counts = self.counts[:documents]
        return Encoded(self.pairs[: sum(counts)], counts)


def encode(lm: SharedPrefixLM, task: Task, name: str, documents: Sequence[dict], cache: Path | None) -> Encoded:
    """Return the requests of a task's first documents. `name` names the task and its text in the cache."""
    file = cache / tokenizer_hash(lm.tokenizer)[:16] / f"{sha256(name, lm_eval.__version__)[:16]}" if cache else None
    kept = load(file) if file else None
    if kept is not None and len(kept.counts) >= len(documents):
        return kept.first(len(documents))
    pairs, counts = [], []
    for document in documents:
        found = requests(task, document)
        pairs += [lm.encode(*request) for request in found]
        counts.append(len(found))
    encoded = Encoded(pairs, counts)
    if file:
        save(encoded, file)
    return encoded


def requests(task: Task, document: dict) -> list[tuple[str, str]]:
    """Return the harness' own zero-shot requests for a document, each a (context, continuation)."""
    context = task.fewshot_context(document, num_fewshot=0, gen_prefix=task.doc_to_prefix(document))
    made = task.construct_requests(doc=document, ctx=context, metadata=(task.task_name, 0, 1))
    made = made if isinstance(made, list) else [made]
    if made[0].request_type != "loglikelihood":
        raise UserError(f"The task {task.task_name} asks for {made[0].request_type}; only given choices can be scored.")
    return [instance.args for instance in made]


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
