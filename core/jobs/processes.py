"""What all child processes of this program share: their environment, and words on their end."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.base import paths

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


def start_process(command: Sequence[str], log: Path, environment: Mapping[str, str] = {}) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, with its output at the end of a file; `OSError` if it cannot start."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**child_environment(), **environment},
            start_new_session=True,
        )


def describe_exit(code: int) -> str:
    """Return a phrase on the exit code of a process, to continue its name."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was killed ({signal.Signals(-code).name})" + CAUSES.get(-code, "")
