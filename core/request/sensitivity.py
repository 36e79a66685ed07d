"""Construction of checked sensitivity scans; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from core.base.errors import UserError
from core.methods.linear import LinearMethod
from core.notation.chain import format_chain
from core.registry import build_method
from core.specs import ScanUnit, SensitivityScan, Stage, TextWindows


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
