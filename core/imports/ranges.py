"""The numbers that an import may hold, whichever kind of file states them."""

from core.errors import UserError

MOST = 1e30
# By metric: its name in sentences, the least and the most it can be.
RANGES = {
    "acc": ("accuracy", 0.0, 1.0),
    "acc_norm": ("accuracy", 0.0, 1.0),
    "perplexity": ("perplexity", 1.0, MOST),
    "stderr": ("standard error", 0.0, MOST),
    "version": ("version of a task", 0.0, 1e6),
}


def check_range(name: str, value: float) -> None:
    """Raise `UserError` where a number is not one that a metric, a `stderr` or a `version` can be."""
    what, least, most = RANGES[name]
    if not least <= value <= most:  # NaN included
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)[:20]
        raise UserError(f"{shown} is no {what}, which is from {least:g} to {most:g}.")
