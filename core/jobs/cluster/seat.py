"""The actor that holds a part of a machine and runs the workers of attempts in it, one after another.

Ray starts a process for each actor, which takes as long as the worker's own. So an actor waits a moment for another
attempt, and this module imports what a crash needs only then.
"""

from __future__ import annotations

import os
import threading
import time
from typing import NamedTuple

from core.jobs.logs import log_file, share_log, with_last_line
from core.jobs.processes import describe_exit, start_process

PAUSE_SECONDS = 0.2  # between checks of the worker and of Ray
FREE_SECONDS = 2.0  # without an attempt, after which the part of the machine is free for others
CALLS = 16  # of an actor at once
BOUND = "bound"  # argument of a worker that ends with its parent and has its part of the machine from it


class Work(NamedTuple):
    """An attempt at a job, apart from `Launch`, whose import would slow down the start of an actor."""

    job_id: int
    token: str
    command: tuple[str, ...]  # of the worker; the job and its token follow
    database: str  # URL, with its password


class Seat:
    """An actor of Ray. Its first attempt starts with it, so that it needs nobody once Ray has a machine."""

    def __init__(self, first: Work):
        self._parent = os.getppid()  # of this machine's Ray
        self._changed = threading.Condition()
        self._token: str | None = None  # of the running attempt
        self._since = 0.0  # when the last one ended
        self.start(first)
        threading.Thread(target=self._watch, daemon=True).start()

    def start(self, work: Work) -> None:
        """Start the worker of an attempt; the one before has ended."""
        self._token = work.token
        threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def ping(self) -> None:
        """Answer, which tells that it lives."""

    def token(self) -> str | None:
        """Return the token of the running attempt."""
        return self._token

    def wait(self, token: str, _started: None = None) -> None:
        """Wait until an attempt has ended. Ray calls this after the call that returns `_started`."""
        with self._changed:
            self._changed.wait_for(lambda: self._token != token)

    def _run(self, work: Work) -> None:
        try:
            code = self._finish(work)
            share_log(work.job_id)
            if code:
                _record(work, f"The job's process {describe_exit(code)}")
        finally:
            with self._changed:
                self._token, self._since = None, time.monotonic()
                self._changed.notify_all()

    def _finish(self, work: Work) -> int:
        environment = {"SLIMSCOPE_DB": work.database}
        command = [*work.command, str(work.job_id), work.token, BOUND]
        worker = start_process(command, log_file(work.job_id), environment)
        while (code := worker.poll()) is None:
            time.sleep(PAUSE_SECONDS)
        return code

    def _watch(self) -> None:
        """End this process with this machine's Ray, or once nothing is left to do."""
        while os.getppid() == self._parent:  # without Ray the actor would run on, but its resources are gone
            if self._token is None and time.monotonic() - self._since > FREE_SECONDS:
                os._exit(0)  # frees the resources also if nobody is connected
            time.sleep(PAUSE_SECONDS)
        os._exit(1)


def _record(work: Work, words: str) -> None:
    """Write the crash of a worker into its row, unless the attempt has ended or lost its lease."""
    from core.jobs.crash import record_crash

    record_crash(work.database, work.job_id, work.token, with_last_line(words, work.job_id))


def lacking_on_node(spec: str) -> str | None:
    """Return what this machine lacks to run a job (JSON), to continue a sentence; None if it lacks nothing."""
    from core.base.errors import UserError
    from core.jobs.here import lacking_here
    from core.specs import RunSpec

    try:
        return lacking_here(RunSpec.model_validate_json(spec))
    except (UserError, ValueError) as error:
        return str(error)
