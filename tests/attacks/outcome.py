"""How a family ended: its faults, and the command that repeats each."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from core.paths import PROJECT

LONGEST = 600  # characters of a sentence


@dataclass(frozen=True)
class Fault:
    """A try that failed; `number` is None where the preparation of all tries failed."""

    number: int | None
    sentence: str


@dataclass(frozen=True)
class Outcome:
    """The tries of a family that were run, or the reason why none was."""

    family: str
    tries: int = 0
    faults: tuple[Fault, ...] = ()
    seconds: float = 0.0
    not_run: str | None = None


def describe(error: BaseException) -> str:
    """Return an exception as one line, with the last place in this project that it passed."""
    places = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(PROJECT))]
    place = f" at {places[-1].filename.removeprefix(f'{PROJECT}/')}:{places[-1].lineno}" if places else ""
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return printable(f"{type(error).__name__}{place}: {error}{notes}")


def printable(text: str) -> str:
    """Return text as one line of bounded length that any terminal takes."""
    line = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ... ({len(line)} characters)"
