"""A machine with a small model and few results, and commands in forked processes, which may hang or die."""

import json
import math
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.base import paths
from core.cli.app import main
from core.cli.listing import OF, to_latex
from core.cli.printing.tables import as_json, print_table, summary
from core.findings.numbers.differences import tidy_with_differences
from core.findings.numbers.frame import tidy
from core.findings.numbers.sheets import csv_text
from core.results import Result
from core.store.store import Store
from tests.core.queues import kill_tree
from tests.core.tiny_folder import write_tiny_folder

FORK = get_context("fork")
TEXT = ("--perplexity", "text.txt@32:4")
RUN = ("run", "./tiny", "magnitude@0.5", *TEXT)
BUNDLED = paths.SHIPPED_MEASURED
FILES = ("smollm2-135m-quantised.jsonl", "smollm2-135m-structured.jsonl")
SURPRISES = ("Traceback (most recent", "Unexpected error (")
# Of a sweep, and of a question without an answer, which then end with 1.
DOCUMENTED = ("points failed", "Nearest:", "none can be ranked", '"winner": null')


@dataclass(frozen=True)
class Machine:
    """A folder with `tiny` and `text.txt`, the results of `RUN`, and a few bundled rows."""

    folder: Path
    key: str  # of the variant of `RUN`
    perplexity: float

    @contextmanager
    def place(self, filled: bool = True) -> Iterator[Path]:
        """Make a new folder the current one, with links to model and text, a copy of the results and no cache."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, pytest.MonkeyPatch.context() as patch:
            for one in ("tiny", "text.txt"):
                Path(name, one).symlink_to(self.folder / one)
            if filled:
                shutil.copytree(self.folder / "results", Path(name, "results"))
            patch.setattr(paths, "SHIPPED_MEASURED", self.folder / "bundled")
            patch.setenv("SLIMSCOPE_RESULTS", str(Path(name, "results")))
            patch.setenv("SLIMSCOPE_CACHE", str(Path(name, "cache")))
            patch.setenv("HOME", name)
            patch.setenv("PIP_NO_INDEX", "1")
            patch.delenv("SLIMSCOPE_DB", raising=False)
            patch.chdir(name)
            yield Path(name)

    def bundled_keys(self) -> list[str]:
        """Return the keys of the bundled rows."""
        rows = "".join(file.read_text() for file in sorted((self.folder / "bundled").iterdir())).splitlines()
        return [json.loads(row)["variant"]["key"] for row in rows]


def prepare(folder: Path) -> Machine:
    """Write the model, the text and four bundled rows of each of `FILES`, and measure `RUN`."""
    import torch

    torch.set_num_threads(1)  # as further threads would not outlive a fork
    write_tiny_folder(folder)
    write_few_bundled(folder / "bundled", 4)
    unmeasured = Machine(folder, "", 0.0)
    with unmeasured.place(filled=False) as place:
        assert main(RUN) == 0
        for words in (["results", "--csv"], ["laws"], ["methods"]):
            main(words)  # imports what each fork would import again
        shutil.copytree(place / "results", folder / "results")
        (own,) = (key for key in Store().local_keys() if key != Store().get(key).variant.dense_key)
        return Machine(folder, own, perplexity())


def write_few_bundled(folder: Path, rows: int) -> None:
    """Write the first rows of `FILES`, the dense model's among them."""
    folder.mkdir()
    for name in FILES:
        lines = (BUNDLED / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:rows]))


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
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)  # strict, as a terminal's is
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    code = target(*arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


def command(*words: str, seconds: float = 120.0, memory: float = 4.0) -> tuple[int, str]:
    """Run a command line in a forked process of limited memory (GB); return its exit code and what it printed."""

    def limited() -> int:
        resource.setrlimit(resource.RLIMIT_DATA, (int(memory * 1e9),) * 2)
        return main(words)

    with tempfile.NamedTemporaryFile() as log:
        process = forked(limited, log=Path(log.name))
        process.join(seconds)
        hangs = process.exitcode is None
        if hangs:
            kill_tree(process.pid)
        process.join()
        printed = Path(log.name).read_text(errors="replace")
        assert not hangs, f"{shown(words)} has no end within {seconds:g} s: {printed[-300:]}"
        return process.exitcode, printed


def expect(*words: str, codes: tuple[int, ...] = (0, 2), **limits: float) -> str:
    """Run a command line that may be refused in a sentence, and return what it prints; it may not end otherwise."""
    code, printed = command(*words, **limits)
    surprise = next((printed.index(one) for one in SURPRISES if one in printed), None)
    assert surprise is None, f"{shown(words)} prints: {printed[surprise:][:2_000]}"
    assert code in codes or (code == 1 and any(one in printed for one in DOCUMENTED)), (
        f"{shown(words)} ends with {code}: {printed[-300:]}"
    )
    return printed


def shown(words: tuple[str, ...]) -> str:
    """Return a command line for a message."""
    return ascii(" ".join(words))[:600]


@contextmanager
def limited(seconds: float = 20.0, gigabytes: float = 1.0) -> Iterator[None]:
    """Inside the context, raise `TimeoutError` after some time, and `MemoryError` beyond this much more memory."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"There is no end within {seconds:g} s.")

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (psutil.Process().memory_info().data + int(gigabytes * 1e9), hard))
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def check_intact() -> None:
    """Assert that SQLite finds no fault in the store's database; PostgreSQL checks its own."""
    with Store().begin() as connection:
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


FORMS = ("table", "json", "csv", "latex")


def print_results(store: Store, form: str) -> None:
    """Tidy all results, and print them in one of the `FORMS`."""
    results = store.results()
    tidy(results)
    if form == "json":
        for result in results:
            as_json(result)
    elif form == "csv":
        csv_text(tidy_with_differences(results, store.samples))
    elif rows := summary(results, store, store.model_names()):
        if form == "table":
            print_table(rows)
        else:
            to_latex([{name: text for name, text in row.items() if name != "key"} for row in rows], len(OF))


def check_possible(result: Result) -> None:
    """Assert that each number can be: no accuracy above 1, no standard error below 0."""
    for row in result.measurements:
        least, most = {"perplexity": (1, math.inf)}.get(row.metric, (-math.inf, math.inf))
        least, most = (0, 1) if row.metric.startswith("acc") else (least, most)
        assert math.isfinite(row.value) and least <= row.value <= most, row
        assert row.stderr is None or 0 <= row.stderr < math.inf, row
        assert all(math.isfinite(value) for value in row.protocol.values() if isinstance(value, float)), row
