"""Run the tries of one family in forked processes, so that a hang or a death costs one try."""

from __future__ import annotations

import random
import resource
import shutil
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from tests.attacks.family import Family
from tests.attacks.outcome import Fault, Outcome, describe, printable

FORK = get_context("fork")


def run_tries(family: Family, seed: int, numbers: Sequence[int], folder: Path) -> Outcome:
    """Prepare a family and run its tries of these numbers."""
    started = time.monotonic()
    try:
        prepared = family.prepare(folder)
    except Exception as error:
        return Outcome(family.name, faults=(Fault(None, f"The preparation failed: {describe(error)}"),))
    faults: list[Fault] = []
    done = 0
    while done < len(numbers):
        batch = numbers[done : done + 1] if family.isolated else numbers[done:]
        count, found = _run_batch(family, prepared, seed, batch, folder)
        done += count
        faults += found
    return Outcome(family.name, len(numbers), tuple(faults), time.monotonic() - started)


def _run_batch(family: Family, prepared: Any, seed: int, batch: Sequence[int], folder: Path) -> tuple[int, list[Fault]]:
    """Run tries in one process until one hangs or dies; return how many were run, and their faults."""
    receiver, sender = FORK.Pipe(duplex=False)
    worker = FORK.Process(target=_work, args=(sender, family, prepared, seed, batch, folder))
    worker.start()
    sender.close()
    faults: list[Fault] = []
    try:
        for count, number in enumerate(batch, start=1):
            if not receiver.poll(family.seconds):
                return count, [*faults, Fault(number, f"No end within {family.seconds:g} s.")]
            try:
                sentence = receiver.recv()
            except EOFError:
                worker.join(5)
                return count, [*faults, Fault(number, f"The process died with exit code {worker.exitcode}.")]
            if sentence is not None:
                faults.append(Fault(number, sentence))
        worker.join(5)
        return len(batch), faults
    finally:
        kill_tree(worker.pid)
        worker.join()
        receiver.close()


def _work(sender: Connection, family: Family, prepared: Any, seed: int, batch: Sequence[int], folder: Path) -> None:
    limit = int(family.memory * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    for number in batch:
        place = Path(tempfile.mkdtemp(dir=folder))
        given = family.given(prepared, number)
        if family.cases:
            print(f"case: {given[1]!r}", flush=True)
        sender.send(_attempt(family, given, random.Random(f"{family.name} {seed} {number}"), place))
        shutil.rmtree(place, ignore_errors=True)


def _attempt(family: Family, prepared: Any, draw: random.Random, place: Path) -> str | None:
    try:
        sentence = family.attack(prepared, draw, place)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        return describe(error)
    return None if sentence is None else printable(sentence)


def kill_children(pid: int) -> None:
    """Kill all that a process started, where it still runs."""
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def kill_tree(pid: int) -> None:
    """Kill a process with all that it started, where it still runs."""
    with suppress(psutil.NoSuchProcess):
        kill_children(pid)
        psutil.Process(pid).kill()
