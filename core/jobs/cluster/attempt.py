"""The actor of one attempt at a job: it holds the resources, runs the worker's process and records its crash.

Ray starts a process for each actor, so this module imports what a crash needs only then.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence

from core.jobs.logs import share_log, with_last_line
from core.jobs.processes import describe_exit, start_worker

PAUSE_SECONDS = 0.2  # between checks of the worker and of Ray
BOUND = "bound"  # argument of a worker that ends with its parent and has its part of the machine from it


class Attempt:
    """An actor of Ray, which ends itself with its worker."""

    def __init__(self, job_id: int, token: str, command: Sequence[str], database: str):
        self.job_id = job_id
        self.token = token
        self.command = command
        self.database = database  # its URL
        self.parent = os.getppid()  # of this machine's Ray
        threading.Thread(target=self._run, daemon=True).start()

    def ping(self) -> None:
        """Answer, which tells that it lives."""

    def _run(self) -> None:
        try:
            code = self._work()
            share_log(self.job_id)
            if code:
                self._record(f"The job's process {describe_exit(code)}")
        finally:
            os._exit(0)  # frees the resources also if nobody is connected

    def _work(self) -> int:
        worker = start_worker(self.command, self.job_id, [self.token, BOUND], {"SLIMSCOPE_DB": self.database})
        while (code := worker.poll()) is None:
            if os.getppid() != self.parent:  # Ray leaves the actor running, but its resources are gone
                os._exit(1)
            time.sleep(PAUSE_SECONDS)
        return code

    def _record(self, words: str) -> None:
        """Write the crash of the worker into its row, unless the attempt has ended or lost its lease."""
        from core.jobs.crash import record_crash

        record_crash(self.database, self.job_id, self.token, with_last_line(words, self.job_id))


def lacking_on_node(spec: str) -> str | None:
    """Return what this machine lacks to run a job (JSON), to continue a sentence; None if it lacks nothing."""
    from core.errors import UserError
    from core.jobs.here import lacking_here
    from core.specs import RunSpec

    try:
        return lacking_here(RunSpec.model_validate_json(spec))
    except (UserError, ValueError) as error:
        return str(error)
