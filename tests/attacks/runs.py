"""What attacks on whole runs share: a small model, and commands that run in forked processes of this one."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.store.store import Store
from tests.attacks.machine import use_few_bundled
from tests.attacks.tries import FORK
from tests.core.tiny_folder import write_tiny_folder

TEXT = ("--perplexity", "text.txt@32:4")
RUN = ("run", "./tiny", "magnitude@0.5", *TEXT)
SURPRISES = ("Traceback (most recent call last)", "Unexpected error (")


@dataclass(frozen=True)
class Machine:
    """A folder with a model and a text, and what an undisturbed run measured there."""

    folder: Path
    perplexity: float


def prepare(folder: Path) -> Machine:
    """Write the model, load all modules that a run needs, and measure once undisturbed."""
    import torch

    import core.cli.app
    import core.engine.execute  # noqa: F401
    from core.shipping import export
    from core.shipping.proof import ExportCheck

    # It starts a process of its own, which takes long.
    export.verify_export = lambda *_: ExportCheck(reason="not read here.")
    torch.set_num_threads(1)
    use_few_bundled(folder / "bundled")
    written = forked(write_tiny_folder, folder)  # as here torch must not compute: its locks would not outlive a fork
    written.join()
    os.chdir(folder)
    settle(folder / "undisturbed")
    code, printed = command(*RUN)
    if code:
        raise ValueError(f"The undisturbed run ended with {code}: {printed}")
    return Machine(folder, perplexity())


def settle(place: Path) -> None:
    """Let this process, and all that it starts, have its results and cache in a folder."""
    place.mkdir(exist_ok=True)
    os.environ.update(SLIMSCOPE_RESULTS=str(place / "results"), SLIMSCOPE_CACHE=str(place / "cache"))


def perplexity(chain: str = "magnitude") -> float:
    """Return the stored perplexity of the variant whose first stage is this one; NaN without one."""
    found = [one for one in Store().results() if one.variant.model == "tiny" and one.variant.stages[0].method == chain]
    values = [row.value for one in found for row in one.measurements if row.metric == "perplexity"]
    return values[0] if len(values) == 1 else float("nan")


def forked(target: Callable[..., Any], *arguments: Any, log: Path | None = None) -> Any:
    """Start a forked process and return it; what it prints goes to a file."""
    process = FORK.Process(target=_child, args=(target, arguments, log or Path(os.devnull)))
    process.start()
    return process


def _child(target: Callable[..., Any], arguments: tuple, log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    code = target(*arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


def command(*arguments: str) -> tuple[int, str]:
    """Run a command line in a forked process; return its exit code and what it printed."""
    from core.cli.app import main

    with tempfile.NamedTemporaryFile() as log:  # not in a folder that an attack makes unwritable
        process = forked(main, list(arguments), log=Path(log.name))
        process.join()
        return process.exitcode, Path(log.name).read_text(errors="replace")


def expect(arguments: tuple[str, ...], codes: tuple[int, ...] = (0, 2)) -> tuple[int, str]:
    """Run a command line that may be refused in a sentence; an exception where it ends otherwise."""
    code, printed = command(*arguments)
    if code not in codes or any(words in printed for words in SURPRISES):
        raise AssertionError(f"{' '.join(arguments)} ended with {code}: {printed.strip()}")
    return code, printed


def same(found: float, wanted: float) -> str | None:
    """Return a sentence where a perplexity is another than that of the undisturbed run."""
    return None if found == wanted else f"The perplexity is {found} and without the fault {wanted}."


def is_intact() -> str | None:
    """Return a sentence where SQLite finds a fault in the store's database; PostgreSQL checks its own."""
    with Store().begin() as connection:
        if connection.dialect.name != "sqlite":
            return None
        verdict = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
    return None if verdict == "ok" else f"The database is damaged: {verdict}."


def wait_for(condition: Callable[[], bool], seconds: float = 240.0) -> None:
    """Wait until something is so; an exception where it does not become so."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"It was not so within {seconds:g} s.")
        time.sleep(0.02)
