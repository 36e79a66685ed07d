"""Output of the command line: progress and messages on stderr, results on stdout."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from core.base.progress import WAITING, WAITING_SENTENCE
from core.jobs.countdown import Countdown

MEGABYTE = 1_000_000

messages = Console(stderr=True, highlight=False, soft_wrap=True)
PIPED = 100  # characters per line of a table in a file or a pipe
output = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED)


def say(text: str) -> None:
    """Print sentences on stdout, wrapped between words on a terminal but not in a file or a pipe."""
    output.print(text, markup=False, soft_wrap=not output.is_terminal)


class TimeLeft(ProgressColumn):
    """A column with the remaining time of a bar."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        return Text(task.fields["countdown"].format(time.monotonic()))


class Bars:
    """A `core.base.progress.Progress` that draws one bar for the current stage of the work."""

    def __init__(self, progress: Progress):
        self.progress = progress
        self._countdown = Countdown()
        self._points: TaskID | None = None
        self._bar: TaskID | None = None
        self._stage: tuple[str, int] | None = None
        self._announcement = ""

    def announce(self, text: str) -> None:
        """Print a sentence when the work begins, after the checks that may reject it."""
        self._announcement = text

    def expect(self, stages: Mapping[str, float]) -> None:
        """Set the estimated seconds of each stage of the next run."""
        self._countdown = Countdown(stages)

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None:
        if self._announcement and stage != WAITING:
            messages.print(self._announcement, markup=False)
            self._announcement = ""
        if self._bar is None or (stage, total) != self._stage:
            self._clear()
            if stage == WAITING:
                messages.print(WAITING_SENTENCE)
            self._stage, self._bar = (stage, total), self._add(stage, total, self._countdown)
        self._countdown.update(stage, done, total, time.monotonic())
        self.progress.update(self._bar, completed=done, count=_count(done, total), detail=detail)

    def start_points(self, total: int) -> None:
        """Show the number of finished points of a sweep, above the bar of the current stage."""
        self._points = self._add("points", total, Countdown())

    def finish_point(self, done: int, total: int) -> None:
        self._clear()
        if self._points is not None:
            self.progress.update(self._points, completed=done, count=_count(done, total))

    def _add(self, name: str, total: int, countdown: Countdown) -> TaskID:
        return self.progress.add_task(name, total=total, count=_count(0, total), detail="", countdown=countdown)

    def _clear(self) -> None:
        if self._bar is not None:
            self.progress.remove_task(self._bar)
        self._bar = self._stage = None


def _count(done: int, total: int) -> str:
    return f"{done}/{total}" if total < MEGABYTE else f"{done / MEGABYTE:.0f}/{total / MEGABYTE:.0f} MB"


@contextmanager
def bars() -> Iterator[Bars]:
    """Show progress bars on stderr; redirect everything that libraries print to stderr, too."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TimeLeft(),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    with (
        redirect_stdout(messages.file),
        Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal) as progress,
    ):
        yield Bars(progress)
