"""The prompts of all scored documents of a task, cached so that all variants of a model get the same ones."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from core.base.errors import UserError
from core.base.progress import Progress
from core.cache.folders import read_small, write_small
from core.data.cards import POOL
from core.evaluation.fewshot.prompts import (
    REASONING_TOKENS,
    Chat,
    Documents,
    Prompt,
    chat_of,
    find_instruction,
    question,
    reasonings,
    requests,
    shown,
)
from core.specs import Fewshot, Task, sha256

if TYPE_CHECKING:
    from torch import Tensor

    from core.data.harness import LocalTask
    from core.evaluation.fewshot.dense import DenseModel
    from core.evaluation.scorer import SharedPrefixLM

VERSION = 1  # of the construction of prompts; part of their cache key
_PROMPTS = TypeAdapter(tuple[Prompt, ...])


def select_examples(
    how: Fewshot, task: LocalTask, documents: Documents, pool: Documents, dense: DenseModel
) -> list[tuple[int, ...]]:
    """Return the places in the pool of each document's examples, in prompt order."""
    similarity = None
    if how.k and (how.selector == "nearest" or how.order == "similar-last"):
        questions = [question(task, document) for document in (*documents, *pool)]
        embeddings = dense.embed(questions)  # (documents + pool, hidden)
        similarity = embeddings[: len(documents)] @ embeddings[len(documents) :].T  # (documents, pool)
    drawn = _drawn(how, task, documents, pool, dense, similarity)
    if similarity is None or how.order == "drawn":
        return drawn
    lines = similarity.tolist()
    return [tuple(sorted(places, key=line.__getitem__)) for places, line in zip(drawn, lines, strict=True)]


def _drawn(
    how: Fewshot, task: LocalTask, documents: Documents, pool: Documents, dense: DenseModel, similarity: Tensor | None
) -> list[tuple[int, ...]]:
    if how.selector == "random":  # seeded by the question, so that its examples do not depend on the other documents
        return [
            tuple(random.Random(question(task, document)).sample(range(len(pool)), how.k)) for document in documents
        ]
    if how.selector == "nearest" and similarity is not None:
        return [tuple(places) for places in similarity.topk(how.k).indices.tolist()]
    first = range(len(pool)) if how.selector == "first" else _by_likelihood([shown(task, one) for one in pool], dense)
    return [tuple(first[: how.k])] * len(documents)


def _by_likelihood(texts: Sequence[str], dense: DenseModel) -> list[int]:
    """Return the places of texts, lowest perplexity first."""
    pairs = [dense.lm.encode("", text) for text in texts]
    scores = dense.lm.score(pairs)
    losses = [-score / len(tokens) for (score, _), (_, tokens) in zip(scores, pairs, strict=True)]
    return sorted(range(len(texts)), key=losses.__getitem__)


def pool_of(task: Task, part: LocalTask, documents: Documents) -> Documents:
    """Return the pool of few-shot examples: a split that is never scored, or the documents after the scored ones.

    Questions that are also among the scored `documents` are left out.
    """
    candidates = part.pool
    if candidates is None:
        candidates = islice(part.eval_docs, len(documents), len(documents) + POOL)
    scored = {question(part, document) for document in documents}
    pool = [one for one in candidates if question(part, one) not in scored]
    if len(pool) < task.fewshot.k:
        raise UserError(
            f"{part.card.label} has {len(pool)} few-shot examples here, fewer than the requested "
            f"{task.fewshot.k}; request fewer, or score fewer documents."
        )
    return pool


@dataclass
class TaskPrompts:
    """The prompts of a task's documents."""

    name: str  # hash of the prompts' inputs
    prompts: tuple[Prompt, ...]
    requests: Callable[[int], list[tuple[str, str]]]  # of the document at a place


def build(
    task: Task,
    name: str,
    part: LocalTask,
    documents: Documents,
    lm: SharedPrefixLM,
    dense: DenseModel,
    cache: Path | None,
    progress: Progress,
) -> TaskPrompts:
    """Build the prompts of all scored documents, or read them from the folder `cache`, if there is one.

    A prompt that exceeds the maximum length of the scored model `lm` loses its first examples. `name` identifies the
    task and its text in the cache.
    """
    pool = pool_of(task, part, documents)
    chat = chat_of(lm.tokenizer) if task.fewshot.template == "chat" else None
    texts = json.dumps([[shown(part, one) for one in some] for some in (documents, pool)])
    name = sha256(dense.key, name, str(task.fewshot), texts, str(VERSION))
    file = cache / "prompts" / name if cache else None
    if file and (cached := read_small(file)) is not None:
        prompts = _PROMPTS.validate_json(cached)
    else:
        prompts = tuple(_compute(task, part, documents, pool, lm, dense, chat, progress))
        if file:
            write_small(file, _PROMPTS.dump_json(prompts))
    return TaskPrompts(name, prompts, lambda place: requests(part, documents[place], prompts[place], pool, chat))


def _compute(
    task: Task,
    part: LocalTask,
    documents: Documents,
    pool: Documents,
    lm: SharedPrefixLM,
    dense: DenseModel,
    chat: Chat | None,
    progress: Progress,
) -> Sequence[Prompt]:
    how, finished = task.fewshot, 0
    total = len(documents) if how.template == "reasoning" else 1

    def done(texts: int) -> None:
        nonlocal finished
        finished = min(total, finished + texts)
        progress("prompts", finished, total, task.task)

    progress("prompts", 0, total, task.task)
    instruction = ""
    if how.template == "instruction":
        instruction = part.card.instruction
    elif how.template == "generated":
        instruction = find_instruction(part, pool, dense, done)
    room = lm.max_length - (REASONING_TOKENS if how.template == "reasoning" else 0)
    prompts = []
    for document, places in zip(documents, select_examples(how, part, documents, pool, dense), strict=True):
        prompt = Prompt(shots=places, instruction=instruction)
        while prompt.shots and _tokens(lm, requests(part, document, prompt, pool, chat)) > room:
            prompt = prompt.model_copy(update={"shots": prompt.shots[1:], "dropped": prompt.dropped + 1})
        prompts.append(prompt)
    if how.template == "reasoning":
        contexts = [requests(part, *pair, pool)[0][0] for pair in zip(documents, prompts, strict=True)]
        texts = reasonings(contexts, dense, done)
        prompts = [one.model_copy(update={"reasoning": text}) for one, text in zip(prompts, texts, strict=True)]
    return prompts


def _tokens(lm: SharedPrefixLM, pairs: Sequence[tuple[str, str]]) -> int:
    """Return the number of input tokens of the longest request."""
    return max(sum(map(len, lm.encode(*pair))) - 1 for pair in pairs)
