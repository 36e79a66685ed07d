"""The ranges of imported numbers, for all kinds of files."""

from core.base.errors import UserError
from core.metrics import METRICS

MOST = 1e30
# By metric: its name in errors, its minimum and its maximum.
RANGES = {
    **{one.name: (one.noun, one.ends[0], min(one.ends[1], MOST)) for one in METRICS.values() if one.imported},
    "stderr": ("standard error", 0.0, MOST),
    "version": ("version of a task", 0.0, 1e6),
}


def check_range(name: str, value: float) -> None:
    """Raise `UserError` for a number outside the range of a metric, a `stderr` or a `version`."""
    noun, least, most = RANGES[name]
    if not least <= value <= most:  # NaN included
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)[:20]
        raise UserError(f"{shown} is not a valid {noun}; give {least:g} to {most:g}.")
