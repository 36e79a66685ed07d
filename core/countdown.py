"""How long the present stage of a run still takes: a number that only falls, the same for dashboard and command line.

At first it is what was estimated for the stage. Once the stage has told enough of its progress its own pace counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from core.formatting import format_duration

ENOUGH = 0.05  # share of a stage after which its pace is known
SLACK = 1.25, 3.0  # by which factor and seconds a stage may slow down before its last number is given up


class Countdown:
    """Follows the stages of one run. Times are seconds of any one clock."""

    def __init__(self, expected: Mapping[str, float] | None = None):
        self.expected = dict(expected or {})  # seconds by stage, as `core.request.estimate` gives them
        self._stage: tuple[str, int, float | None] | None = None  # with its total, and when it started
        self._done = self._total = 0
        self._began = (0.0, 0)  # when, and what was done by then
        self._ends: float | None = None
        self._least = math.inf  # the lowest number told in this stage

    def update(self, stage: str, done: int, total: int, now: float, started: float | None = None) -> None:
        """Take in how far the run is; `started` is when its stage began, if that was before this first look at it."""
        # Of two texts with as many windows each is a stage.
        if (stage, total, started) != self._stage or done < self._done:
            if self._stage:  # what it took, the next one like it may take, such as that of the dense baseline
                last = self._stage[0]
                self.expected[last] = max(self.expected.get(last, 0.0), now - self._began[0])
            self._stage, self._done, self._total, self._least = (stage, total, started), 0, total, math.inf
            self._began = (now, done) if started is None else (started, 0)
            expected = self.expected.get(stage)
            self._ends = None if expected is None else self._began[0] + expected
        since, before = self._began
        if done > self._done and done > before and done - before >= ENOUGH * total:
            self._ends = now + (now - since) / (done - before) * (total - done)
        self._done = done

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds that are left, 0 once it takes longer than expected; None if nothing is known or left."""
        if self._ends is None or 0 < self._total <= self._done:
            return None
        left, (factor, seconds) = self._ends - now, SLACK
        if left <= 0:
            self._least = 0.0
        if left <= 0 or left > factor * self._least + seconds:
            return 0.0
        self._least = min(self._least, left)
        return self._least

    def format(self, now: float) -> str:
        """Return `about 12 s left`, or `longer than expected`; empty where nothing is known, or all is done."""
        return left_words(self.seconds_left(now))


def left_words(seconds: float | None) -> str:
    """Write the seconds that are left; `longer than expected` where there are none, empty where they are not known."""
    if seconds is None:
        return ""
    return f"{format_duration(seconds)} left" if seconds > 0 else "longer than expected"


def queue_left(expected: float, elapsed: float, stage: float | None, waiting: float) -> float:
    """Return the seconds that a queue still takes, which fall as time goes by; 0 is longer than expected.

    `expected` seconds were estimated for the job that runs, which began `elapsed` seconds ago and whose present stage
    takes `stage` more, if that is known; `waiting` for those that wait.
    """
    return max(0.0, expected - elapsed, stage or 0.0) + waiting
