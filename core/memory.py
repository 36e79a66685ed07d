"""How the process gets its memory from the system, and how much it had at most."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # options of glibc's mallopt
LARGEST = 32 * 2**20  # bytes: glibc takes no larger threshold


def reuse_freed_memory() -> None:
    """Have freed activations reused instead of handed back to the system, which must clear each page anew.

    Forwards of long windows on a CPU get about a tenth faster. Only glibc has the setting; elsewhere nothing happens.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def machine_bytes() -> int:
    """Return how much memory this machine has, in bytes."""
    import psutil

    return psutil.virtual_memory().total


def memory_growth(work: Callable[[], object], device: torch.device) -> int | None:
    """Return the most bytes that `work` holds beyond what was held before; None where that cannot be told.

    Of tensors on a GPU, of the process on Linux, where what earlier work left behind would otherwise count.
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
    ctypes.CDLL(None).malloc_trim(0)  # so that the work does not live on what was freed before
    try:
        resets.write_text("5")
    except OSError:
        return None
    before = _most_held()
    work()
    return _most_held() - before


def _most_held() -> int:
    """Return the most bytes that the process held since the count was reset."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
