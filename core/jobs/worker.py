"""The process of one attempt at a job, `python -m core.jobs.worker JOB TOKEN [bound]`.

It writes its progress, its heartbeat and its end into the job's row.

The row names one attempt by its token. The process of another attempt can neither write to the row nor store results. A
process extends its lease with each heartbeat. One that loses it stops, and ends by force after a grace period.
"""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Literal, TypeVar

import psutil
from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, Update, func, select, update

from core.base.errors import MEMORY_RAN_OUT, CancelledError, LostJobError, UserError, out_of_memory
from core.base.progress import Progress
from core.fields import fault
from core.jobs.cluster.seat import BOUND
from core.jobs.executor import handle_text
from core.jobs.logs import share_log
from core.results import Result
from core.specs import Frozen, RunSpec, Scalar
from core.store.clock import Now
from core.store.slots import compute_lock
from core.store.store import Store
from core.store.tables import jobs

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
PROGRESS_SECONDS = 0.5  # at least between two writes, except at a new stage
LEASE_SECONDS = 60.0  # without a heartbeat, after which an attempt counts as lost
LAST_SECONDS = 10.0  # from the loss of the lease until the process ends by force
SHARE_SECONDS = 5.0  # between two copies of the log to the shared storage
DEAF_SECONDS = 5.0  # from noticing a cancellation until a run that reports no progress is interrupted

Run = Callable[[RunSpec, Store, Progress], Result | None]
Described = TypeVar("Described", bound=Frozen)
Column = Scalar | ColumnElement[float]  # a value of a row, or its expression
Standing = Literal["held", "cancelled", "lost", "unknown"]  # of an attempt; unknown: the database cannot be reached


def lease() -> ColumnElement[float]:
    """Return the time until which an attempt is alive that is heard of now."""
    return Now() + LEASE_SECONDS


def claimed(token: str) -> dict[str, Column]:
    """Return what a claim writes into the row of a job, whose new attempt has this token."""
    return {"state": "running", "token": token, "attempts": jobs.c.attempts + 1, "started": Now(), "lease": lease()}


class Worker:
    """Access of an attempt's process to its row and, through `store`, to the results."""

    def __init__(self, store: Store, job_id: int, token: str, bound: bool = False):
        self.job_id = job_id
        self.parent = os.getppid() if bound else None  # the process with which this one ends
        self.token = token
        self.store = store.checked(self._check)
        self._stop = threading.Event()  # cancelled, or the row belongs to another attempt
        self._ended = threading.Event()
        self._stage: str | None = None
        self._done = 0
        self._written = 0.0
        self._notified = False  # whether the run has received the cancellation
        self._listens = False  # whether a signal can interrupt it

    def take(self) -> str | None:
        """Write this process into the row and return its `spec`; None if the row belongs to another attempt."""
        here = func.coalesce(jobs.c.handle, handle_text(psutil.Process()))  # its supervisor may have ended
        change = self._change(handle=here, machine=socket.gethostname())
        wanted = select(jobs.c.spec).where(jobs.c.id == self.job_id)
        text: str | None = self.store.transact(
            lambda connection: connection.execute(wanted).scalar() if connection.execute(change).rowcount else None
        )
        return text

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Keep the lease while this process works on the job, then write the end, also that of an error."""
        threading.Thread(target=self.beat, name="heartbeat", daemon=True).start()
        try:
            yield
        except (CancelledError, KeyboardInterrupt):
            self.end("cancelled")
            raise
        except UserError as error:
            self.end("failed", str(error))
            raise
        except Exception as error:
            self.end("failed", reason(error))
            raise
        self.end("done")

    def check(self) -> None:
        """Raise `CancelledError` if the job is cancelled, as its row states now."""
        if self._stop.is_set() or self._write() in ("cancelled", "lost"):
            raise CancelledError

    @property
    def stopped(self) -> bool:
        """Whether the job was cancelled, or lost."""
        return self._stop.is_set()

    def listen(self) -> None:
        """Let SIGTERM interrupt the job of this process once it is cancelled."""
        signal.signal(signal.SIGTERM, self.terminated)
        self._listens = True

    def progress(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """Write the run's progress; raise `CancelledError` if the job is cancelled."""
        if self._stop.is_set():
            self._notified = True
            raise CancelledError
        time, new = monotonic(), stage != self._stage or done < self._done  # fewer units than before: a new text
        self._stage, self._done = stage, done
        if not new and time - self._written < PROGRESS_SECONDS:
            return
        self._written = time
        self._write(stage=stage, done=done, total=total, detail=detail, **({"stage_started": Now()} if new else {}))

    def terminated(self, *_: int | FrameType | None) -> None:
        """Handle SIGTERM: interrupt a cancelled run that reports no progress, once; end any other run."""
        if self._notified:
            return  # it is stopping and saves its partial result
        if not self._stop.is_set():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the run may save its partial result undisturbed
        raise KeyboardInterrupt

    def beat(self) -> None:
        """Extend the lease until the run ends, and stop a run that is cancelled or whose lease is lost."""
        held, cancelled = monotonic(), 0.0
        while not self._ended.wait(HEARTBEAT_SECONDS):
            if self.parent is not None and os.getppid() != self.parent:
                log.error("The program that started this process has ended, so it ends, too.")
                end_now()
            standing = self._write()
            if standing == "cancelled":
                cancelled = cancelled or monotonic()
                if self._listens and monotonic() - cancelled > DEAF_SECONDS:
                    os.kill(os.getpid(), signal.SIGTERM)
            if standing in ("held", "cancelled"):
                held = monotonic()
            late = monotonic() - held
            if standing in ("cancelled", "lost") or late > LEASE_SECONDS:
                self._stop.set()
            if late > (LAST_SECONDS if standing == "lost" else LEASE_SECONDS + LAST_SECONDS):
                log.error("This process has lost its job and ends.")
                end_now()

    def share(self) -> None:
        """Copy the log to the shared storage until the run ends; apart from the heartbeat, as a storage may hang."""
        while not self._ended.wait(SHARE_SECONDS):
            share_log(self.job_id)

    def end(self, state: str, error: str | None = None) -> None:
        """Write the job's end state."""
        self._ended.set()
        change = self._change(state=state, error=error, finished=Now())
        self.store.transact(lambda connection: connection.execute(change))

    def _check(self, connection: Connection) -> None:
        """Raise `LostJobError` if the row belongs to another attempt, which it cannot until the transaction ends."""
        mine = select(jobs.c.id).where(*self._mine()).with_for_update()
        if connection.execute(mine).scalar() is None:
            raise LostJobError

    def _mine(self) -> list[ColumnElement[bool]]:
        return [jobs.c.id == self.job_id, jobs.c.state == "running", jobs.c.token == self.token]

    def _change(self, **values: Column | ColumnElement[str]) -> Update:
        alive = {"heartbeat": Now(), "lease": lease()}
        return update(jobs).where(*self._mine()).values(**alive, **values)

    def _write(self, **values: Column) -> Standing:
        """Update the row and extend the lease. A failed write does not end the run."""
        wanted = select(jobs.c.cancel).where(jobs.c.id == self.job_id)
        try:
            with self.store.begin() as connection:
                if not connection.execute(self._change(**values)).rowcount:
                    return "lost"
                return "held" if connection.execute(wanted).scalar() is None else "cancelled"
        except UserError as error:
            log.warning("%s", error)
            return "unknown"


def end_now() -> None:
    """End this process, with those that it has started if it leads a session of its own."""
    if os.getsid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def work(store: Store, job_id: int, token: str, run: Run | None = None, bound: bool = False) -> int:
    """Run a job, write its end state and return the exit code; `run` defaults to `core.engine.runs.run`.

    A `bound` process ends with its parent, which has given it its part of the machine. Any other waits for a slot.
    """
    worker = Worker(store, job_id, token, bound)

    def perform(text: str) -> None:
        spec = read_work(RunSpec, text)
        wait = partial(worker.progress, "waiting", 0, 0, "another run on this machine")
        with nullcontext() if bound else compute_lock(on_wait=wait):
            (run or _engine())(spec, worker.store, worker.progress)

    return serve(worker, perform)


def _engine() -> Run:
    from core.engine.runs import run  # only here, as it imports torch

    return run


def serve(worker: Worker, perform: Callable[[str], None]) -> int:
    """Perform what the row of a job has, in a process of its own, and return the exit code."""
    try:
        text = worker.take()
    except UserError as error:
        log.error("%s", error)
        worker.end("failed", str(error))
        return 0
    if text is None:
        log.error("Job %d is not waiting for this process.", worker.job_id)
        return 1
    worker.listen()
    threading.Thread(target=worker.share, name="log", daemon=True).start()
    try:
        with worker.attempt():
            perform(text)
    except (CancelledError, KeyboardInterrupt):
        pass
    except UserError as error:
        log.error("%s", error)
    except Exception:
        log.exception("The run failed")
        return 1
    return 0


def read_work(kind: type[Described], text: str) -> Described:
    """Return what a job has to do; raise `UserError` if its row cannot be read."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise UserError(f"The job's run cannot be read ({fault(error)}).") from None


def reason(error: Exception) -> str:
    """Return one sentence for an unexpected error."""
    text = str(error).strip()
    if out_of_memory(error):
        return MEMORY_RAN_OUT
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else f"{type(error).__name__}."


def prepare_process() -> None:
    """Log to stderr, and let the system kill this process before the dashboard."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    die_first()


def die_first() -> None:
    """Let the system kill this process before the dashboard if memory runs out."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def main(job_id: str, token: str, *bound: str, run: Run | None = None) -> int:
    """Run a job in this process and log to stderr."""
    prepare_process()
    return work(Store(), int(job_id), token, run, bound == (BOUND,))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
