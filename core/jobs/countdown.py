"""The remaining time of a run's current stage, which only falls; dashboard and command line show the same number.

It starts at the estimate for the stage. Once the stage has reported enough progress, its own pace counts.
"""

import math
from collections.abc import Mapping

from core.notation.formatting import format_duration

ENOUGH = 0.05  # share of a stage after which its pace counts
SLACK = 1.25, 3.0  # factor and seconds that the time may exceed its lowest value before it counts as overdue


class Countdown:
    """Remaining time of the stages of one run. All times are seconds of the same clock."""

    def __init__(self, expected: Mapping[str, float] | None = None):
        self.expected = dict(expected or {})  # seconds per stage, from `core.request.expected.estimate`
        self._stage: tuple[str, int, float | None] | None = None  # name, total and start
        self._done = self._total = 0
        self._began = (0.0, 0)  # start of the pace: time, and units done by then
        self._ends: float | None = None
        self._least = math.inf  # lowest remaining time shown in this stage

    def update(self, stage: str, done: int, total: int, now: float, started: float | None = None) -> None:
        """Record the run's progress at `now`; `started` is the start of its stage, if known."""
        # Two texts with equally many windows are two stages.
        if (stage, total, started) != self._stage or done < self._done:
            if self._stage:  # the next stage of this name, such as the dense baseline's, may take as long
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
        """Return the remaining seconds: 0 if the stage takes longer than expected, None if unknown or done."""
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
        """Format the remaining time as `left_words`; empty if unknown or done."""
        return left_words(self.seconds_left(now))


def left_words(seconds: float | None) -> str:
    """Format remaining seconds: `about 12 s left`, `longer than expected` for 0, empty for None."""
    if seconds is None:
        return ""
    return f"{format_duration(seconds)} left" if seconds > 0 else "longer than expected"


def job_left(expected: float, elapsed: float, stage: float | None) -> float:
    """Compute the remaining seconds of a running job, which fall over time; 0 means longer than expected.

    Args:
        expected: Estimated seconds of the job.
        elapsed: Seconds since it started.
        stage: Remaining seconds of its current stage, if known.
    """
    return max(0.0, expected - elapsed, stage or 0.0)
