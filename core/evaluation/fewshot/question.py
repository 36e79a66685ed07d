"""The question and the choices of a scored document, without few-shot examples."""

from __future__ import annotations

from typing import NamedTuple

from core.evaluation.fewshot.prompts import requests
from core.evaluation.fewshot.read import ScoredTask, document_at


class Question(NamedTuple):
    """A document as the harness scores it."""

    text: str  # empty if the choices fill a gap, so that each is a whole text
    choices: list[str]
    lengths: list[int]  # characters of each choice, by which acc_norm divides its log-likelihood


def read_question(parts: list[ScoredTask], place: int) -> Question:
    """Return the question of a scored document; raise `UserError` if this machine lacks the document.

    Args:
        parts: The task, or the subjects of a group.
        place: Place of the document among all scored ones.
    """
    part, document = document_at(parts, place)
    pairs = requests(part.task, document)
    lengths = [len(choice) for choice in part.task.doc_to_choice(document)]
    if part.task.multiple_input:
        return Question("", [(context + ending).strip() for context, ending in pairs], lengths)
    return Question(pairs[0][0].strip(), [answer.strip() for _, answer in pairs], lengths)
