"""Whether there can be the prompts that are asked for, as far as that is known before any text is read."""

from core.data.cards import card
from core.errors import UserError
from core.specs import Task


def check_fewshot(task: Task) -> None:
    """Raise `UserError` where a task has too few documents to demonstrate with, or no place for reasoning."""
    known, how = card(task.task), task.fewshot
    if how.template == "reasoning" and not known.answers:
        raise UserError(f"{known.label} continues a text and asks nothing to reason about; choose another template.")
    if not (how.k or how.template == "generated"):
        return
    if known.pool is None and task.limit is None:
        raise UserError(
            f"All documents of {known.label} would be scored and none left to demonstrate with; give a limit, such as "
            f"{known.id}:500."
        )
    left = known.pool_documents if known.pool else known.documents - (task.limit or 0)
    if left < max(how.k, 1):
        raise UserError(
            f"{known.label} has {max(left, 0)} documents to demonstrate with beside those that are scored, and "
            f"{max(how.k, 1)} are asked for; ask for fewer" + ("." if known.pool else ", or give a lower limit.")
        )
