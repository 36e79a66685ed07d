"""The actor of one attempt at a job: it holds the resources, runs the worker's process and records its crash."""

from __future__ import annotations

import os
import subprocess
import threading
import time

from sqlalchemy import case, update

from core.errors import UserError
from core.jobs.cluster.messages import Launch
from core.jobs.executor import child_environment, describe_exit
from core.jobs.here import lacking_here
from core.jobs.logs import log_file, log_tail, share_log
from core.jobs.worker import BOUND
from core.specs import RunSpec
from core.store.clock import Now
from core.store.store import Store
from core.store.tables import jobs

PAUSE_SECONDS = 0.2  # between checks of the worker and of Ray


class Attempt:
    """An actor of Ray, which ends itself with its worker."""

    def __init__(self, launch: Launch):
        self.launch = launch
        self.parent = os.getppid()  # of this machine's Ray
        threading.Thread(target=self._run, daemon=True).start()

    def ping(self) -> None:
        """Answer, which tells that it lives."""

    def _run(self) -> None:
        try:
            code = self._work()
            share_log(self.launch.job_id)
            if code:
                self._record(f"The job's process {describe_exit(code)}")
        finally:
            os._exit(0)  # frees the resources also if nobody is connected

    def _work(self) -> int:
        file = log_file(self.launch.job_id)
        file.parent.mkdir(parents=True, exist_ok=True)
        environment = child_environment() | {"SLIMSCOPE_DB": self.launch.database}
        with open(file, "ab") as log:
            worker = subprocess.Popen(
                [*self.launch.command, str(self.launch.job_id), self.launch.token, BOUND],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        while (code := worker.poll()) is None:
            if os.getppid() != self.parent:  # Ray leaves the actor running, but its resources are gone
                os._exit(1)
            time.sleep(PAUSE_SECONDS)
        return code

    def _record(self, words: str) -> None:
        """Write the crash of the worker into its row, unless the attempt has ended or lost its lease."""
        last = log_tail(self.launch.job_id, 1)
        error = f"{words}; last output: {last}" if last else f"{words}."
        own = jobs.c.id == self.launch.job_id, jobs.c.token == self.launch.token
        mine = *own, jobs.c.state == "running", jobs.c.lease >= Now()
        state = case((jobs.c.cancel.is_(None), "failed"), else_="cancelled")
        store = Store(self.launch.database)
        store.transact(
            lambda connection: connection.execute(
                update(jobs).where(*mine).values(state=state, error=error, finished=Now())
            )
        )


def lacking_on_node(spec: str) -> str | None:
    """Return what this machine lacks to run a job (JSON), to continue a sentence; None if it lacks nothing."""
    try:
        return lacking_here(RunSpec.model_validate_json(spec))
    except (UserError, ValueError) as error:
        return str(error)
