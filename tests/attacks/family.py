"""A family of attacks: what is tried, how often, and what counts as a fault."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Family:
    """Tries of one kind, each repeatable by its number and the seed of the run.

    Attributes:
        name: Name on the command line.
        tries: Number of tries of a whole run.
        attack: Runs one try on what `prepare` returned, with a generator of its own, in an empty folder. Returns a
            sentence that describes the fault, None where the program behaved. An exception is a fault, too.
        prepare: Builds what all tries share, in a folder that outlives them.
        cases: Inputs chosen by hand. A try gets `(prepared, case)` in place of `prepared`: the cases in turn, and again
            from the first one, with other random details.
        fuzzes: Whether a try after the last case generates its own input, and gets `(prepared, None)`, in place of the
            first case again.
        needs: Program or package that the family needs; the runner reports a family without it as not run.
        isolated: Whether each try gets a process of its own; otherwise tries share one until it hangs or dies. A try
            that changes the environment, the current folder or a module is isolated.
        seconds: Time after which a try counts as hanging.
        memory: Limit of the memory that a try allocates, GB of 10^9 bytes; beyond it the try gets a `MemoryError`.
    """

    name: str
    tries: int
    attack: Callable[[Any, random.Random, Path], str | None]
    prepare: Callable[[Path], Any] = lambda folder: folder
    cases: Sequence[Any] = ()
    fuzzes: bool = False
    needs: str | None = None
    isolated: bool = False
    seconds: float = 60.0
    memory: float = 4.0

    def given(self, prepared: Any, number: int) -> Any:
        """Return the first argument of a try's attack."""
        if not self.cases:
            return prepared
        if self.fuzzes and number >= len(self.cases):
            return prepared, None
        return prepared, self.cases[number % len(self.cases)]
