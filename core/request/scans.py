"""From a wish to know what matters in a model to a checked `Scan`; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from core.chain import written
from core.errors import UserError
from core.methods.linear import LinearMethod
from core.methods.reconstruction import Reconstruction
from core.registry import made
from core.specs import Calibration, Part, Scan, Stage


def scanned_by(stages: Sequence[Stage]) -> LinearMethod | None:
    """Return the one method of a variant where it compresses linear by linear and looks at no other linear first."""
    if len(stages) != 1 or not stages[0].removes or stages[0].elsewhere:
        return None
    method = made(stages[0])
    if not isinstance(method, LinearMethod) or isinstance(method, Reconstruction) or method.evenly.observations:
        return None
    return method.evenly


def scan_of(stages: Sequence[Stage], by: Part, text: Calibration, seed: int) -> Scan:
    """Return the scan of a variant; `text` and `seed` are for a method that reads none itself.

    Raises `UserError` where the variant, or its text, is none that can be scanned.
    """
    if scanned_by(stages) is None:
        raise UserError(
            f"A scan compresses one {by} after the other by one method that needs no other to be known, such as "
            f"sparsegpt@0.7; {written(stages)} is not made so."
        )
    [stage] = stages
    text = stage.calibration or text
    if text.windows < 2:
        raise UserError(f"A scan calibrates on some windows and reads losses on others; {text} has one only.")
    return Scan(by=by, text=text, seed=seed if stage.seed is None else stage.seed)
