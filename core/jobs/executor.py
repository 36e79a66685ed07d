"""Executors, which start and find the processes of jobs: children in sessions of their own, unless a class differs."""

import os
import signal
import socket
import subprocess
from collections.abc import Collection, Sequence
from contextlib import suppress
from time import monotonic
from typing import NamedTuple

import psutil
from sqlalchemy import URL

from core.jobs.kinds import WORKER
from core.jobs.logs import log_file
from core.jobs.processes import describe_exit, start_process
from core.specs import RunSpec
from core.store.slots import slots, threads

THREADS = "OMP_NUM_THREADS"
RAY = "ray:"  # starts the handles of `core.jobs.cluster`; a host name has no colon
DYING_SECONDS = 5.0  # in which a process that was killed with its supervisor ends
SAME_START = 2.0  # seconds by which two readings of one process's start may differ, as clocks are adjusted


class End(NamedTuple):
    """The end of a job's process."""

    words: str  # continue `The job's process`
    lost: bool = False  # with its machine or its supervisor, so that the job runs again


class Handle:
    """The process of a job."""

    text: str  # from which its executor finds it again

    def poll(self) -> End | None:
        """Return None until it has ended."""
        raise NotImplementedError

    def waits_for(self) -> str | None:
        """Return the machine that it waits for, such as `2 cores`; None once it has one."""
        return None

    def stopped(self) -> bool:
        """Return whether it is suspended (SIGSTOP) and cannot react to a cancellation."""
        return False

    def resume(self) -> None:
        """Continue it and its children after a suspension."""

    def kill(self) -> None:
        """Kill it and its children."""
        raise NotImplementedError


class Executor:
    """Starts jobs as children of this process, which outlive it and end as a group."""

    is_local = True  # whether the processes run on this machine, with its models and texts

    def __init__(self, url: URL, command: Sequence[str] = WORKER):
        self.url = url
        self.command = tuple(command)
        self.host = socket.gethostname()

    def problem(self) -> str | None:
        """Return why no job can start now, in one sentence; None if jobs can."""
        return None

    def has_room(self, handles: Collection[Handle]) -> bool:
        """Return whether another process may start beside these."""
        return len(handles) < slots()

    def capacity(self, spec: RunSpec) -> int:
        """Return how many runs like this one it can run at once."""
        return slots()

    def refusal(self, specs: Sequence[RunSpec]) -> str | None:
        """Return why it can never run one of these, in one sentence; None if it can run all."""
        return None

    def launch(self, job_id: int, token: str, spec: str) -> Handle:
        """Start the process of an attempt at a run (JSON), which then writes its own row; `OSError` if it cannot."""
        environment = {"SLIMSCOPE_DB": self.url.render_as_string(hide_password=False)}
        count = threads()
        if count is not None and THREADS not in os.environ:  # other jobs share the cores
            environment[THREADS] = str(count)
        child = start_process([*self.command, str(job_id), token], log_file(job_id), environment)
        process = psutil.Process(child.pid)
        return LocalHandle(process, handle_text(process, self.host), child)

    def sees(self, handle: str) -> bool:
        """Return whether it can tell if the process with this text of a handle runs."""
        return not handle.startswith(RAY) and is_of(handle, self.host)

    def adopt(self, handle: str, beating: bool = False) -> Handle | None:
        """Return the running process that an earlier supervisor launched, or None if it has ended.

        A process that is `beating` has just written to its row. Its start time is then not compared, because it changes
        with the machine's clock.
        """
        process = find_process(handle, beating)
        return None if process is None else LocalHandle(process, handle)


def is_of(handle: str, host: str) -> bool:
    """Return whether the process with this text runs on a machine; raise `ValueError` if it is no text of a handle."""
    return _place(handle)[0] == host


def _place(handle: str) -> tuple[str, int, float]:
    """Return the host, the pid and the start of a process; the latter tells it from later ones with its pid."""
    host, pid, created = handle.rsplit(maxsplit=2)
    return host, int(pid), float(created)


def find_process(handle: str, beating: bool = False) -> psutil.Process | None:
    """Return the process of this machine with this text if it still runs; see `Executor.adopt` for `beating`."""
    _, pid, created = _place(handle)
    try:
        process = psutil.Process(pid)
        other = not beating and abs(process.create_time() - created) > SAME_START
        return None if other or process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None


def handle_text(process: psutil.Process, host: str | None = None) -> str:
    """Return the text of a local process, on this machine by default, from which it is found again."""
    return f"{host or socket.gethostname()} {process.pid} {process.create_time()}"


class LocalHandle(Handle):
    """A process that leads its session's process group.

    Without its `child`, another supervisor started it, so its exit code is unknown. If such a process ends soon, it was
    already dying, such as with its supervisor.
    """

    def __init__(self, process: psutil.Process, text: str, child: subprocess.Popen[bytes] | None = None):
        self.process, self.text, self.child = process, text, child
        self.since = monotonic()

    def poll(self) -> End | None:
        if self.child is not None:
            code = self.child.poll()
            return None if code is None else End(describe_exit(code))
        with suppress(psutil.NoSuchProcess):
            if self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE:
                return None
        return End("ended", lost=monotonic() - self.since < DYING_SECONDS)

    def stopped(self) -> bool:
        with suppress(psutil.NoSuchProcess):
            return self.process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
        return False

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
