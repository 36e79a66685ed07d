"""The prompts of all scored documents of a task, kept so that every variant of a model reads the same ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from core.cache.folders import read_small, write_small
from core.data.cards import POOL, card
from core.errors import UserError
from core.evaluation.fewshot.prompts import Chat, Documents, Prompt, chat_of, question, requests, shown
from core.evaluation.fewshot.select import select_examples
from core.evaluation.fewshot.words import REASONING_TOKENS, find_instruction, reasonings
from core.specs import Task, sha256

if TYPE_CHECKING:
    from core.data.harness import LocalTask
    from core.evaluation.fewshot.dense import DenseModel
    from core.evaluation.scorer import SharedPrefixLM
    from core.progress import Progress

VERSION = 1  # of what the prompts mean
_PROMPTS = TypeAdapter(tuple[Prompt, ...])


def pool_of(task: Task, part: LocalTask, documents: Documents) -> Documents:
    """Return what demonstrations are of: a split that is never scored, or the documents after those that are.

    What is asked in one of the scored `documents`, too, is left out.
    """
    found = part.pool
    if found is None:
        found = islice(part.eval_docs, len(documents), len(documents) + POOL)
    scored = {question(part, document) for document in documents}
    pool = [one for one in found if question(part, one) not in scored]
    if len(pool) < task.fewshot.k:
        raise UserError(
            f"{card(task.task).label} has {len(pool)} documents to demonstrate with here, and {task.fewshot.k} are "
            "asked for; ask for fewer, or score fewer documents."
        )
    return pool


@dataclass
class TaskPrompts:
    """The prompts of a task's documents; `name` tells them, and the texts they are made of, from all others."""

    name: str
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
    """Return the prompts of all documents; `name` names the task and its text. What does not fit loses its oldest."""
    pool = pool_of(task, part, documents)
    chat = chat_of(lm.tokenizer) if task.fewshot.template == "chat" else None
    texts = json.dumps([[shown(part, one) for one in some] for some in (documents, pool)])
    name = sha256(dense.key, name, str(task.fewshot), texts, str(VERSION))
    file = cache / "prompts" / name if cache else None
    if file and (kept := read_small(file)) is not None:
        found = _PROMPTS.validate_json(kept)
    else:
        found = tuple(_made(task, part, documents, pool, lm, dense, chat, progress))
        if file:
            write_small(file, _PROMPTS.dump_json(found))
    return TaskPrompts(name, found, lambda place: requests(part, documents[place], found[place], pool, chat))


def _made(
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

    def told(texts: int) -> None:
        nonlocal finished
        finished = min(total, finished + texts)
        progress("prompts", finished, total, task.task)

    progress("prompts", 0, total, task.task)
    instruction = ""
    if how.template == "instruction":
        instruction = card(task.task).instruction
    elif how.template == "generated":
        instruction = find_instruction(part, pool, dense, told)
    room = lm.max_length - (REASONING_TOKENS if how.template == "reasoning" else 0)
    found = []
    for document, places in zip(documents, select_examples(how, part, documents, pool, dense), strict=True):
        prompt = Prompt(shots=places, instruction=instruction)
        while prompt.shots and _tokens(lm, requests(part, document, prompt, pool, chat)) > room:
            prompt = prompt.model_copy(update={"shots": prompt.shots[1:], "dropped": prompt.dropped + 1})
        found.append(prompt)
    if how.template == "reasoning":
        contexts = [requests(part, *pair, pool)[0][0] for pair in zip(documents, found, strict=True)]
        said = reasonings(contexts, dense, told)
        found = [one.model_copy(update={"reasoning": words}) for one, words in zip(found, said, strict=True)]
    return found


def _tokens(lm: SharedPrefixLM, pairs: Sequence[tuple[str, str]]) -> int:
    """Return how many tokens the longest request takes as input."""
    return max(sum(map(len, lm.encode(*pair))) - 1 for pair in pairs)
