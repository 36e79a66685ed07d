"""Run families side by side, each in a process of its own with its own results and cache."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tests.attacks.discover import is_available
from tests.attacks.family import Family
from tests.attacks.outcome import Fault, Outcome
from tests.attacks.tries import FORK, kill_children, kill_tree, run_tries

ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER of Linux: what a try left behind stays a child of its family


def run_families(
    families: Sequence[Family], seed: int, most: int | None = None, only_try: int | None = None, jobs: int = 1
) -> Iterator[Outcome]:
    """Yield the outcome of each family as it ends.

    Args:
        families: Families to run.
        seed: Seed of every try.
        most: Tries of each family at most; None runs all.
        only_try: Number of the one try to run, which then prints what it prints.
        jobs: Families to run at a time.
    """
    waiting = [family for family in families if is_available(family.needs)]
    yield from (Outcome(one.name, not_run=f"needs {one.needs}") for one in families if one not in waiting)
    running: dict[Any, tuple[Family, Any]] = {}
    top = Path(tempfile.mkdtemp(prefix="attack-"))
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                family = waiting.pop(0)
                numbers = range(family.tries)[:most] if only_try is None else [only_try]
                receiver, sender = FORK.Pipe(duplex=False)
                host = FORK.Process(
                    target=_host, args=(sender, family, seed, numbers, top / family.name, only_try is None)
                )
                host.start()
                sender.close()
                running[receiver] = (family, host)
            for receiver in wait(list(running)):
                family, host = running.pop(receiver)
                yield _outcome(receiver, family)
                kill_tree(host.pid)
                host.join()
    finally:
        for _, host in running.values():
            kill_tree(host.pid)
        shutil.rmtree(top, ignore_errors=True)


def _outcome(receiver: Any, family: Family) -> Outcome:
    try:
        return receiver.recv()
    except EOFError:
        return Outcome(family.name, faults=(Fault(None, "The process that prepares the tries died."),))


def _host(sender: Connection, family: Family, seed: int, numbers: Sequence[int], folder: Path, quiet: bool) -> None:
    ctypes.CDLL(None).prctl(ADOPT_ORPHANS, 1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()  # Ctrl+C reaches the runner alone, which then ends all that a family started
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    if quiet:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # its threads would not outlive the fork of a try
    folder.mkdir()
    os.environ.update(
        SLIMSCOPE_RESULTS=str(folder / "results"),
        SLIMSCOPE_CACHE=str(folder / "cache"),
        HF_HUB_OFFLINE="1",
        PIP_NO_INDEX="1",
        OMP_WAIT_POLICY="PASSIVE",
        OMP_NUM_THREADS="1",
    )
    os.environ.pop("SLIMSCOPE_DB", None)
    outcome = run_tries(family, seed, numbers, folder)
    kill_children(os.getpid())
    shutil.rmtree(folder, ignore_errors=True)
    sender.send(outcome)
