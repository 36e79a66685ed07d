"""Memory of the process: the settings of its allocator and collector, and its peak."""

from __future__ import annotations

import ctypes
import gc
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # options of glibc's mallopt
LARGEST = 32 * 2**20  # bytes: glibc's largest threshold
ACTIVATION_SHARE = 0.5  # of the free memory, for the live activations of all calibration sequences
HELD_BYTES = 2**29  # of the hidden states between two blocks of a streamed model; fewer would read it more often


def reuse_freed_memory() -> None:
    """Make glibc reuse freed activations instead of returning them to the system, which clears each new page.

    Forward passes of long sequences on a CPU become about 10 % faster. Without glibc the function does nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Return the memory of freed objects to the system, as after a model; without glibc nothing is returned."""
    gc.collect()
    return_free_pages()


def return_free_pages() -> None:
    """Return the pages between objects that nothing uses; without glibc nothing is returned."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def no_collection() -> Iterator[None]:
    """Switch the garbage collector off for a short command.

    A listing uses nearly all objects that it reads until it ends. Searching them repeatedly takes a fifth of its time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def machine_bytes() -> int:
    """Return the memory of this machine in bytes."""
    import psutil

    return int(psutil.virtual_memory().total)


def process_bytes() -> int:
    """Return the memory of this process without files that are mapped into it, in bytes."""
    import psutil

    found = psutil.Process().memory_info()
    return int(found.rss - getattr(found, "shared", 0))  # not every platform counts mapped files


def memory_growth(work: Callable[[], object], device: torch.device) -> int | None:
    """Measure by how many bytes `work` raises the peak memory; None if the platform does not report it.

    On a GPU it measures tensors. On Linux with glibc it measures the process, after freeing leftovers of earlier work.
    """
    import torch

    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    resets = Path("/proc/self/clear_refs")
    if not resets.exists() or platform.libc_ver()[0] != "glibc":
        return None
    return_freed_memory()  # else the work would reuse it
    try:
        resets.write_text("5")
    except OSError:
        return None
    before = _peak_bytes()
    work()
    return _peak_bytes() - before


def _peak_bytes() -> int:
    """Return the peak resident bytes of the process since the last reset."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
