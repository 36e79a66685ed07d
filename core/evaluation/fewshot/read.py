"""Stored prompts for display, rebuilt in parts from the fields stored with the answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

from core.base.errors import UserError
from core.data.tasks import harness_tasks
from core.evaluation.fewshot.build import pool_of
from core.evaluation.fewshot.prompts import Document, Documents, Prompt, chat_of, requests, right
from core.models.lazy import PreTrainedTokenizerBase
from core.specs import ZERO_SHOT, Task

if TYPE_CHECKING:
    from core.data.harness import LocalTask

Kind = Literal["", "instruction", "example", "question", "reasoning"]


@dataclass
class PromptView:
    """A prompt in parts and its scored choices."""

    parts: list[tuple[Kind, str]]  # in order; the kind "" is text between parts
    choices: list[str]
    right: int  # place of the correct choice


@dataclass
class ScoredTask:
    """The scored documents of a task and its pool of few-shot examples."""

    task: LocalTask
    documents: Documents
    pool: Documents


def load_scored_task(task: Task) -> list[ScoredTask]:
    """Return a task, or the subjects of a group of tasks; raise `UserError` if its documents are unavailable."""
    scored = []
    for part in harness_tasks((task.task,), with_pool=task.fewshot != ZERO_SHOT).values():
        documents = list(islice(part.eval_docs, task.limit))
        scored.append(ScoredTask(part, documents, pool_of(task, part, documents) if task.fewshot.k else ()))
    return scored


def document_at(parts: list[ScoredTask], place: int) -> tuple[ScoredTask, Document]:
    """Return the document at a place among all scored ones, with its task or the subject of a group."""
    for part in parts:
        if place < len(part.documents):
            return part, part.documents[place]
        place -= len(part.documents)
    raise UserError("There are fewer documents on this machine than were scored, so this one cannot be shown.")


def reading(
    parts: list[ScoredTask], place: int, prompt: Prompt, tokenizer: PreTrainedTokenizerBase | None = None
) -> PromptView:
    """Rebuild the stored prompt of the document at a place among all scored ones; a chat needs its tokenizer."""
    part, document = document_at(parts, place)
    chat = chat_of(tokenizer) if tokenizer else None
    pairs = requests(part.task, document, prompt, part.pool, chat)
    correct = right(part.task, document)
    # Choices that fill a gap are part of the context, and all have the same continuation.
    context = pairs[correct][0]
    choices = [one for one, _ in pairs] if part.task.multiple_input else [answer for _, answer in pairs]
    return PromptView(list(_parts(context, document, prompt, part)), choices, correct)


def _parts(context: str, document: Document, prompt: Prompt, part: ScoredTask) -> Iterator[tuple[Kind, str]]:
    wanted: list[tuple[Kind, list[str]]] = []
    if prompt.instruction:
        wanted.append(("instruction", [prompt.instruction]))
    for shot in prompt.shots:
        one = part.pool[shot]
        question, answer = requests(part.task, one)[right(part.task, one)]
        wanted.append(("example", [question.strip(), answer.strip()]))
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


class Question(NamedTuple):
    """A document as the harness scores it."""

    text: str  # empty if the choices fill a gap, so that each is a whole text
    choices: list[str]
    lengths: list[int]  # characters of each choice, by which acc_norm divides its log-likelihood


def read_question(parts: list[ScoredTask], place: int) -> Question:
    """Return the question at a place among all scored documents; raise `UserError` if this machine lacks it."""
    part, document = document_at(parts, place)
    pairs = requests(part.task, document)
    lengths = [len(choice) for choice in part.task.doc_to_choice(document)]
    if part.task.multiple_input:
        return Question("", [(context + ending).strip() for context, ending in pairs], lengths)
    return Question(pairs[0][0].strip(), [answer.strip() for _, answer in pairs], lengths)
