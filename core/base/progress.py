"""The protocol by which long work reports its progress and is cancelled, and its bars for callers in Python."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm

# Work calls progress(stage, done, total, detail) after each unit. To cancel, the function raises
# `core.base.errors.CancelledError`, which no caller may catch.
Progress = Callable[[str, int, int, str], None]

WAITING = "waiting for another run"  # the stage while other runs compute on this machine
WAITING_SENTENCE = "Waiting until another run of Slimscope on this machine ends."


def silent(stage: str, done: int, total: int, detail: str = "") -> None:
    """Report nothing."""


@contextmanager
def shown(progress: Progress | None) -> Iterator[Progress]:
    """Yield the caller's progress, or else bars of tqdm."""
    if progress is not None:
        yield progress
        return
    bars = _Bars()
    try:
        yield bars
    finally:
        bars.close()


class _Bars:
    """A `Progress` that draws one bar of tqdm for the current stage, in terminals and notebooks only.

    A sentence on stderr says that the work waits, wherever stderr goes.
    """

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._stage: tuple[str, int] | None = None

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None:
        if (stage, total) != self._stage:
            self.close()
            self._stage = (stage, total)
            if stage == WAITING:
                print(WAITING_SENTENCE, file=sys.stderr, flush=True)
            elif sys.stderr.isatty() or "ipykernel" in sys.modules:
                from tqdm.auto import tqdm

                self._bar = tqdm(desc=stage, total=total, leave=False, unit_scale=total >= 1_000_000)
        if self._bar is not None:
            self._bar.set_postfix_str(detail, refresh=False)
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
        self._bar = self._stage = None
