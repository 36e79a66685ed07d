"""When a change of the store shows on the pages.

A change shows at the next run of a page. While rows keep coming, all sessions show the rows of one moment for `PAUSE`
seconds, so that they share what is computed from them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from threading import Lock
from time import monotonic
from typing import NamedTuple

PAUSE = 2.0  # seconds that rows are shown for at most while newer ones come

Stamp = tuple[tuple, tuple]  # of `Store.stamp`: (number, last change) of the user's rows, and the shipped files


class _Shown(NamedTuple):
    number: int  # of changes that were shown; a stamp may return after a row is deleted
    stamp: Stamp


class Renewal:
    """The state of a store that all sessions show."""

    def __init__(self, read: Callable[[str | None], Stamp], clock: Callable[[], float] = monotonic):
        self._read, self._clock = read, clock
        self._lock = Lock()
        self._shown: dict[str | None, _Shown] = {}
        self._since = -inf  # when the last change was shown

    def stamp(self, model: str | None = None) -> _Shown:
        """Return a value that changes whenever the shown rows do, those of one model or all.

        Whatever is read from the store after this call is at least as new.
        """
        with self._lock:
            now = self._read(model)
            shown = self._shown.setdefault(model, _Shown(0, now)).stamp
            if now != shown and (_lost_rows(shown, now) or self._clock() - self._since >= PAUSE):
                self._since = self._clock()
                self._shown = {name: self._renewed(name, before) for name, before in self._shown.items()}
            return self._shown[model]

    def show_now(self) -> None:
        """Let the next run of every page show the newest rows."""
        with self._lock:
            self._since = -inf

    def _renewed(self, model: str | None, before: _Shown) -> _Shown:
        now = self._read(model)
        return before if now == before.stamp else _Shown(before.number + 1, now)


def _lost_rows(before: Stamp, now: Stamp) -> bool:
    """Return whether rows were deleted, or the shipped files changed, which always shows at once."""
    return now[0][0] < before[0][0] or now[1] != before[1]
