"""Checks of few-shot prompts that need no text."""

from core.base.errors import UserError
from core.data.cards import card
from core.specs import Task


def check_fewshot(task: Task) -> None:
    """Raise `UserError` if a task has too few documents for examples, or does not support reasoning."""
    known, how = card(task.task), task.fewshot
    if how.template == "reasoning" and not known.answers:
        raise UserError(f"{known.label} asks no question to reason about; choose another template than reasoning.")
    if not (how.k or how.template == "generated"):
        return
    if known.pool is None and task.limit is None:
        raise UserError(
            f"Scoring all documents of {known.label} leaves none for few-shot examples; give a limit, such as "
            f"{known.id}:500."
        )
    left = known.pool_documents if known.pool else known.documents - (task.limit or 0)
    if left < max(how.k, 1):
        raise UserError(
            f"{known.label} has {max(left, 0)} unscored documents for few-shot examples, fewer than the requested "
            f"{max(how.k, 1)}; request fewer" + ("." if known.pool else ", or lower the limit.")
        )
