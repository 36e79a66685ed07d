"""Checks of few-shot prompts and of sensitivity scans that need no text and no model; imports no torch."""

from collections.abc import Sequence

from core.base.errors import UserError
from core.data.cards import card
from core.methods.linear import LinearMethod
from core.notation.chain import format_chain
from core.registry import build_method
from core.specs import ScanUnit, SensitivityScan, Stage, Task, TextWindows


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


def scan_method(stages: Sequence[Stage]) -> LinearMethod | None:
    """Return the method of a one-stage variant that can be scanned, or None: it must compress linears independently."""
    if len(stages) != 1 or not stages[0].removes or stages[0].is_external:
        return None
    method = build_method(stages[0])
    if not isinstance(method, LinearMethod) or method.uniform.observations:
        return None
    return method.uniform


def build_scan(stages: Sequence[Stage], by: ScanUnit, text: TextWindows, seed: int) -> SensitivityScan:
    """Build the sensitivity scan of a variant; `text` and `seed` apply if its method has none.

    Raises:
        UserError: The chain cannot be scanned, or the data has only one sequence.
    """
    if scan_method(stages) is None:
        raise UserError(
            f"{format_chain(stages)} cannot be scanned by {by}; give one stage that compresses linears independently, "
            "such as sparsegpt@0.7."
        )
    [stage] = stages
    text = stage.calibration or text
    if text.windows < 2:
        raise UserError(f"{text} has one sequence, but a scan needs two: one for calibration and one for the loss.")
    return SensitivityScan(by=by, text=text, seed=seed if stage.seed is None else stage.seed)
