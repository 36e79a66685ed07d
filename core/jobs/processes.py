"""What all child processes of this program share: their environment, and words on their end."""

from __future__ import annotations

import os
import signal
import sys

from core import paths

WORKER = (sys.executable, "-P", "-m", "core.jobs.worker")  # and the job and its token
CAUSES: dict[int, str] = {  # of signals, as far as they tell
    signal.SIGKILL: "; most likely the memory ran out",
    signal.SIGBUS: "; most likely a file of the model was cut while it was read",
}


def child_environment() -> dict[str, str]:
    """Return the environment of a child process that computes with this code."""
    search = [str(paths.PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(search),
        "OMP_WAIT_POLICY": "PASSIVE",  # waiting threads that spin would starve other processes
    }


def describe_exit(code: int) -> str:
    """Return a phrase on the exit code of a process, to continue its name."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was killed ({signal.Signals(-code).name})" + CAUSES.get(-code, "")
