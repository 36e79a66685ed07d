"""The protocol by which long work reports its progress and is cancelled."""

from collections.abc import Callable

# Work calls progress(stage, done, total, detail) after each unit. To cancel, the function raises
# `core.errors.CancelledError`, which no caller may catch.
Progress = Callable[[str, int, int, str], None]


def silent(stage: str, done: int, total: int, detail: str = "") -> None:
    """Report nothing."""
