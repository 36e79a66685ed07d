"""From a wish to know what matters in a model to a checked `SensitivityScan`; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from core.chain import format_chain
from core.errors import UserError
from core.methods.linear import LinearMethod
from core.methods.reconstruction import Reconstruction
from core.registry import build_method
from core.specs import ScanUnit, SensitivityScan, Stage, TextWindows


def scan_method(stages: Sequence[Stage]) -> LinearMethod | None:
    """Return the one method of a variant where it compresses linear by linear and looks at no other linear first."""
    if len(stages) != 1 or not stages[0].removes or stages[0].is_external:
        return None
    method = build_method(stages[0])
    if not isinstance(method, LinearMethod) or isinstance(method, Reconstruction) or method.uniform.observations:
        return None
    return method.uniform


def build_scan(stages: Sequence[Stage], by: ScanUnit, text: TextWindows, seed: int) -> SensitivityScan:
    """Return the scan of a variant; `text` and `seed` are for a method that reads none itself.

    Raises `UserError` where the variant, or its text, is none that can be scanned.
    """
    if scan_method(stages) is None:
        raise UserError(
            f"A scan compresses one {by} after the other by one method that needs no other to be known, such as "
            f"sparsegpt@0.7; {format_chain(stages)} is not made so."
        )
    [stage] = stages
    text = stage.calibration or text
    if text.windows < 2:
        raise UserError(f"A scan calibrates on some windows and reads losses on others; {text} has one only.")
    return SensitivityScan(by=by, text=text, seed=seed if stage.seed is None else stage.seed)
