"""The circumstances of a computation, which are stored with its numbers."""

import importlib.metadata
import platform
import resource
from datetime import UTC, datetime
from functools import cache

import torch

from core.fields import Details

PACKAGES = ("torch", "transformers", "lm_eval")


def circumstances(seconds: float | None, device: str) -> Details:
    """Return the circumstances of a computation: seconds, peak memory in bytes, device, versions and time."""
    if device.startswith("cuda"):
        peak, name = torch.cuda.max_memory_allocated(device), torch.cuda.get_device_name(device)
    else:
        peak, name = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, platform.machine()
    return {
        "seconds": None if seconds is None else round(seconds, 3),
        "peak_memory": peak,
        "device": f"{device} ({name})",
        "threads": torch.get_num_threads(),
        "versions": _versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@cache
def _versions() -> dict[str, str]:
    """Return the versions of the packages that numbers depend on, which are read from their files."""
    return {package: importlib.metadata.version(package) for package in PACKAGES}
