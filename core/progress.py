"""How long work says where it is, and how it is stopped."""

from collections.abc import Callable

# progress(stage, done, total, detail) is called after each unit of work. It raises
# `core.errors.CancelledError` to stop the work: every caller lets that exception through.
Progress = Callable[[str, int, int, str], None]


def silent(stage: str, done: int, total: int, detail: str = "") -> None:
    """Report nothing."""
