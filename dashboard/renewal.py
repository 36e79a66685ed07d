"""When the pages show a change of the store.

A page shows a change at its next run. While new rows keep arriving, all sessions show the same state for `PAUSE`
seconds, so that they share cached computations.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from threading import Lock
from time import monotonic
from typing import NamedTuple

from core.store.store import StoreStamp

PAUSE = 2.0  # seconds; how long pages may show old rows while newer ones arrive


class _Shown(NamedTuple):
    number: int  # of changes shown so far; a stamp can recur after a row is deleted
    stamp: StoreStamp


class Renewal:
    """The state of the store that all sessions show."""

    def __init__(self, read: Callable[[str | None], StoreStamp], clock: Callable[[], float] = monotonic):
        self._read, self._clock = read, clock
        self._lock = Lock()
        self._shown: dict[str | None, _Shown] = {}
        self._since = -inf  # when the last change was shown

    def stamp(self, model: str | None = None) -> _Shown:
        """Return a cache key for the rows that pages show, of one model or of all.

        Rows read from the store after this call are at least as new.
        """
        with self._lock:
            now = self._read(model)
            shown = self._shown.setdefault(model, _Shown(0, now)).stamp
            if now != shown and (_lost_rows(shown, now) or self._clock() - self._since >= PAUSE):
                self._since = self._clock()
                self._shown = {name: self._renewed(name, before) for name, before in self._shown.items()}
            return self._shown[model]

    def show_now(self) -> None:
        """Show the newest rows at the next run of every page."""
        with self._lock:
            self._since = -inf

    def _renewed(self, model: str | None, before: _Shown) -> _Shown:
        now = self._read(model)
        return before if now == before.stamp else _Shown(before.number + 1, now)


def _lost_rows(before: StoreStamp, now: StoreStamp) -> bool:
    """Return whether rows were deleted or bundled files changed; pages show both without a pause."""
    return now[0][0] < before[0][0] or now[1] != before[1]
