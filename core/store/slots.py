"""Slots of this machine: how many runs compute at once, and the lock of each slot.

If there are several GPUs, each slot has one.
Two runs on one device slow each other down, so a machine without GPUs has one slot unless the user gives more.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from filelock import FileLock, Timeout

from core.base import paths
from core.base.errors import StorageError, UserError, echo

VARIABLE = "SLIMSCOPE_SLOTS"
EXECUTOR, RAY = "SLIMSCOPE_EXECUTOR", "ray"
VISIBLE = "CUDA_VISIBLE_DEVICES"  # the GPUs that CUDA shows to a process
GPUS = Path("/proc/driver/nvidia/gpus")  # a folder per GPU
TURN_SECONDS = 0.5  # between two calls of `on_wait`


def slots() -> int:
    """Return how many runs compute at once: `SLIMSCOPE_SLOTS`, else the number of GPUs, else 1."""
    text = os.environ.get(VARIABLE)
    if text is None:
        return max(1, len(gpus()))
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"{VARIABLE} is {echo(text)}; give a number of runs from 1.")
    return int(text)


def gpus() -> list[str]:
    """Return the ids of the GPUs that this process may use."""
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        return [one for one in visible.split(",") if one.strip()]
    return [str(place) for place in range(len(list(GPUS.glob("*"))))]


def on_cluster() -> bool:
    """Return whether jobs run on a cluster, whose machines may have other devices than this one."""
    return os.environ.get(EXECUTOR) == RAY


def threads() -> int | None:
    """Return the threads of a run that shares the cores with other slots; None if it has all of them."""
    count = slots()
    return max(1, (os.cpu_count() or 1) // count) if count > 1 else None


@contextmanager
def compute_lock(on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Take a slot of this machine, which jobs and command-line runs share; this process then sees its GPU only.

    While other processes have all slots, `on_wait()` is called twice a second; it may raise to give up.
    """
    folder = paths.local_results_dir()
    devices = gpus()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        locks = [FileLock(folder / f"compute{f'-{place + 1}' if place else ''}.lock") for place in range(slots())]
        while (place := _free(locks)) is None:
            if on_wait is not None:
                on_wait()
    except OSError as error:
        raise StorageError(f"The lock in {folder} cannot be acquired: {error.strerror or error}.") from error
    try:
        with _seeing(devices[place % len(devices)]) if len(devices) > 1 else nullcontext():
            yield
    finally:
        locks[place].release()


@contextmanager
def _seeing(device: str) -> Iterator[None]:
    """Let this process see one GPU only; CUDA reads the variable when it starts, which is later."""
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = device
    try:
        yield
    finally:
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before


def _free(locks: list[FileLock]) -> int | None:
    """Acquire one of the locks and return its place; None if none is free for a while."""
    for place, lock in enumerate(locks):
        try:
            lock.acquire(timeout=TURN_SECONDS if place == len(locks) - 1 else 0)
        except Timeout:
            continue
        return place
    return None
