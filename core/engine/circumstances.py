"""The circumstances of a computation, which are stored with its numbers."""

import importlib.metadata
import os
import platform
import re
import resource
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import psutil
import torch

from core.fields import Details

PACKAGES = ("torch", "transformers", "lm_eval")
PROCESSOR = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)  # in Linux's list of processors


class Watch:
    """A stopwatch that also notes how busy other programs keep the machine."""

    def __init__(self) -> None:
        self._started, self._busy, self._own = _times()

    def read(self) -> Details:
        """Return the `seconds` since the start, and the `other_load`: the share of all cores that others used."""
        now, busy, own = _times()
        seconds = now - self._started
        others = (busy - self._busy) - (own - self._own)  # seconds of a core
        share = others / (seconds * (os.cpu_count() or 1)) if seconds else 0.0
        return {"seconds": round(seconds, 3), "other_load": round(max(0.0, share), 3)}


def _times() -> tuple[float, float, float]:
    """Return the time, and the seconds that all cores, and this process with its children, have been busy."""
    times = psutil.cpu_times()
    # Linux counts the time of guests in `user` and `nice`, too.
    idle = ("idle", "iowait", "guest", "guest_nice")
    busy = sum(seconds for name, seconds in times._asdict().items() if name not in idle)
    return time.perf_counter(), busy, sum(os.times()[:4])


def circumstances(seconds: float | None, device: str) -> Details:
    """Return the circumstances of a computation: seconds, peak memory in bytes, device, versions and time."""
    if device.startswith("cuda"):
        peak, name = torch.cuda.max_memory_allocated(device), torch.cuda.get_device_name(device)
    else:
        peak, name = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, _processor()
    return {
        "seconds": None if seconds is None else round(seconds, 3),
        "peak_memory": peak,
        "device": f"{device} ({name})",
        "threads": torch.get_num_threads(),
        "versions": _versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@cache
def _processor() -> str:
    """Return the name of the processor, or its architecture where the system does not list it."""
    try:
        found = PROCESSOR.search(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()


@cache
def _versions() -> dict[str, str]:
    """Return the versions of the packages that numbers depend on, which are read from their files."""
    return {package: importlib.metadata.version(package) for package in PACKAGES}
