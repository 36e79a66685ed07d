"""The actor that holds a part of a machine and runs the workers of attempts in it, one after another.

Ray starts a process for each actor, which takes as long as the worker's own. So an actor waits a moment for another
attempt, and this module imports what a crash needs only then.
"""

import os
import threading
import time

from core.jobs.cluster.messages import Work
from core.jobs.logs import log_file, share_log, with_last_line
from core.jobs.processes import describe_exit, start_process

PAUSE_SECONDS = 0.2  # between checks of Ray
FREE_SECONDS = 2.0  # without an attempt, after which the part of the machine is free for others
CALLS = 16  # of an actor at once
BOUND = "bound"  # argument of a worker that ends with its parent and has its part of the machine from it


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

    def token(self) -> str | None:
        """Return the token of the running attempt."""
        return self._token

    def wait(self, token: str, _started: None = None) -> None:
        """Wait until an attempt has ended. Ray calls this after the call that returns `_started`."""
        with self._changed:
            self._changed.wait_for(lambda: self._token != token)

    def _run(self, work: Work) -> None:
        try:
            command = [*work.command, str(work.job_id), work.token, BOUND]
            code = start_process(command, log_file(work.job_id), {"SLIMSCOPE_DB": work.database}).wait()
            share_log(work.job_id)
            if code:
                from core.jobs.crash import record_crash

                words = with_last_line(f"The job's process {describe_exit(code)}", work.job_id)
                record_crash(work.database, work.job_id, work.token, words)
        finally:
            with self._changed:
                self._token, self._since = None, time.monotonic()
                self._changed.notify_all()

    def _watch(self) -> None:
        """End this process with this machine's Ray, or once nothing is left to do."""
        while os.getppid() == self._parent:  # without Ray the actor would run on, but its resources are gone
            if self._token is None and time.monotonic() - self._since > FREE_SECONDS:
                os._exit(0)  # frees the resources also if nobody is connected
            time.sleep(PAUSE_SECONDS)
        os._exit(1)
