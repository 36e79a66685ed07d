"""A prompt as it was read, in parts that a person can tell apart; rebuilt from what was kept with the answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from core.data.tasks import harness_tasks
from core.errors import UserError
from core.evaluation.fewshot.build import pool_of
from core.evaluation.fewshot.prompts import Documents, Prompt, chat_of, requests, right
from core.specs import ZERO_SHOT, Task

Kind = Literal["", "instruction", "demonstration", "question", "reasoning"]


@dataclass
class PromptView:
    """A prompt in parts, one after the other ("" is what stands between them), and what was scored after it."""

    parts: list[tuple[Kind, str]]
    choices: list[str]
    right: int  # the place of the right choice


@dataclass
class ScoredTask:
    """The scored documents of a task, and what their demonstrations are of."""

    task: Any
    documents: Documents
    pool: Documents


def load_scored_task(task: Task) -> list[ScoredTask]:
    """Return the parts of a task, one or a subject each; a `UserError` where its documents are not here."""
    found = []
    for part in harness_tasks((task.task,), with_pool=task.fewshot != ZERO_SHOT).values():
        documents = list(islice(part.eval_docs, task.limit))
        found.append(ScoredTask(part, documents, pool_of(task, part, documents) if task.fewshot.k else ()))
    return found


def reading(parts: list[ScoredTask], place: int, prompt: Prompt, tokenizer: Any = None) -> PromptView:
    """Return the prompt of the document at a place among all scored; `tokenizer` is given where it writes a chat."""
    for part in parts:
        if place < len(part.documents):
            document = part.documents[place]
            break
        place -= len(part.documents)
    else:
        raise UserError("There are fewer documents on this machine than were scored.")
    chat = chat_of(tokenizer) if tokenizer else None
    asked = requests(part.task, document, prompt, part.pool, chat)
    correct = right(part.task, document)
    # Choices that fill a gap stand in the prompt, and what is scored is the same after each.
    context = asked[correct][0]
    choices = [one for one, _ in asked] if part.task.multiple_input else [answer for _, answer in asked]
    return PromptView(list(_parts(context, document, prompt, part)), choices, correct)


def _parts(context: str, document: dict, prompt: Prompt, part: ScoredTask) -> Iterator[tuple[Kind, str]]:
    wanted: list[tuple[Kind, list[str]]] = []
    if prompt.instruction:
        wanted.append(("instruction", [prompt.instruction]))
    for shot in prompt.shots:
        one = part.pool[shot]
        question, answer = requests(part.task, one)[right(part.task, one)]
        wanted.append(("demonstration", [question.strip(), answer.strip()]))
    wanted.append(("question", [requests(part.task, document)[right(part.task, document)][0].strip()]))
    if prompt.reasoning:
        wanted.append(("reasoning", [prompt.reasoning]))
    read = 0
    for kind, texts in wanted:
        start = end = context.index(texts[0], read)
        for text in texts:
            end = context.index(text, end) + len(text)
        if start > read:
            yield "", context[read:start]
        yield kind, context[start:end]
        read = end
    if read < len(context):
        yield "", context[read:]
