"""Executors, which start the process of a job. The local one starts a child in its own session."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Collection, Sequence
from contextlib import suppress
from time import monotonic
from typing import NamedTuple, Protocol

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


class Handle(Protocol):
    """The process of a job."""

    text: str  # from which its executor finds it again

    def poll(self) -> End | None:
        """Return None until it has ended."""

    def waits_for(self) -> str | None:
        """Return the machine that it waits for, such as `2 cores`; None once it has one."""

    def stopped(self) -> bool:
        """Return whether it is suspended (SIGSTOP) and cannot react to a cancellation."""

    def resume(self) -> None:
        """Continue it and its children after a suspension."""

    def kill(self) -> None:
        """Kill it and its children."""


class Executor(Protocol):
    """A way to start and find the processes of jobs."""

    is_local: bool  # whether the processes run on this machine, with its models and texts

    def problem(self) -> str | None:
        """Return why no job can start now, in one sentence; None if jobs can."""

    def has_room(self, handles: Collection[Handle]) -> bool:
        """Return whether another process may start beside these."""

    def capacity(self, spec: RunSpec) -> int:
        """Return how many runs like this one it can run at once."""

    def refusal(self, specs: Sequence[RunSpec]) -> str | None:
        """Return why it can never run one of these, in one sentence; None if it can run all."""

    def launch(self, job_id: int, token: str, spec: str) -> Handle:
        """Start the process of an attempt at a run (JSON), which then writes its own row; `OSError` if it cannot."""

    def sees(self, handle: str) -> bool:
        """Return whether it can tell if the process with this text of a handle runs."""

    def adopt(self, handle: str, beating: bool = False) -> Handle | None:
        """Return the running process that an earlier supervisor launched, or None if it has ended.

        A process that is `beating` has just written to its row. Its start time is then not compared, because it changes
        with the machine's clock.
        """


class LocalExecutor:
    """An executor of child processes, each in its own session, which outlive it and end as a group."""

    is_local = True

    def __init__(self, url: URL, command: Sequence[str] = WORKER):
        self.url = url
        self.command = tuple(command)
        self.host = socket.gethostname()

    def problem(self) -> str | None:
        return None

    def has_room(self, handles: Collection[Handle]) -> bool:
        return len(handles) < slots()

    def capacity(self, spec: RunSpec) -> int:
        return slots()

    def refusal(self, specs: Sequence[RunSpec]) -> str | None:
        return None

    def launch(self, job_id: int, token: str, spec: str) -> Handle:
        environment = _threads() | {"SLIMSCOPE_DB": self.url.render_as_string(hide_password=False)}
        command = [*self.command, str(job_id), token]
        return _Child(start_process(command, log_file(job_id), environment), self.host)

    def sees(self, handle: str) -> bool:
        return not handle.startswith(RAY) and is_of(handle, self.host)

    def adopt(self, handle: str, beating: bool = False) -> Handle | None:
        process = find_process(handle, beating)
        return None if process is None else _Adopted(process, handle)


def _threads() -> dict[str, str]:
    """Return the variable that limits a job's threads, if other jobs share the cores and the user sets none."""
    count = threads()
    return {} if count is None or THREADS in os.environ else {THREADS: str(count)}


class _Place(NamedTuple):
    """Where a process is, and what distinguishes it from a later one with its pid."""

    host: str
    pid: int
    created: float  # seconds since 1970

    @classmethod
    def parse(cls, text: str) -> _Place:
        """Return the place of the text of a handle; raise `ValueError` if it is none."""
        host, pid, created = text.rsplit(maxsplit=2)
        return cls(host, int(pid), float(created))


def is_of(handle: str, host: str) -> bool:
    """Return whether the process with this text runs on a machine."""
    return _Place.parse(handle).host == host


def find_process(handle: str, beating: bool = False) -> psutil.Process | None:
    """Return the process of this machine with this text if it still runs; see `Executor.adopt` for `beating`."""
    place = _Place.parse(handle)
    try:
        process = psutil.Process(place.pid)
        other = not beating and abs(process.create_time() - place.created) > SAME_START
        return None if other or process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None


def handle_text(process: psutil.Process, host: str | None = None) -> str:
    """Return the text of a local process, on this machine by default, from which it is found again."""
    return f"{host or socket.gethostname()} {process.pid} {process.create_time()}"


class _Group(Handle):
    """A process that leads its session's process group."""

    pid: int

    def waits_for(self) -> str | None:
        return None

    def stopped(self) -> bool:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
        return False

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)


class _Child(_Group):
    def __init__(self, process: subprocess.Popen[bytes], host: str):
        self.process = process
        self.pid = process.pid
        self.text = handle_text(psutil.Process(process.pid), host)

    def poll(self) -> End | None:
        code = self.process.poll()
        return None if code is None else End(describe_exit(code))


class _Adopted(_Group):
    """A process that another supervisor started, so its exit code is unknown.

    One that ends soon after was already dying, such as with its supervisor.
    """

    def __init__(self, process: psutil.Process, text: str):
        self.since = monotonic()
        self.process = process
        self.pid = process.pid
        self.text = text

    def poll(self) -> End | None:
        with suppress(psutil.NoSuchProcess):
            if self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE:
                return None
        return End("ended", lost=monotonic() - self.since < DYING_SECONDS)
