"""A search from its question to its certificate, in this process; others see its state and may stop it."""

import errno
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from sqlalchemy import Connection

from core.base.errors import CancelledError, StorageError, UserError
from core.base.progress import Progress, silent
from core.engine.runs import run_alone
from core.jobs.doing import STAGES
from core.jobs.kinds import SEARCH
from core.jobs.own import own_job
from core.jobs.points import results_of, trial_here
from core.jobs.queue import Queue, chosen_executor, insert_job
from core.jobs.worker import Worker, prepare_process, read_work, serve
from core.results import Result
from core.search.autopilot import Autopilot, OnStart, Progressed
from core.search.certificate import Certificate, best_stored, certify
from core.search.question import Prepared, Question, opening, prepare
from core.search.record import RUNS_ALREADY
from core.search.trials import RUNGS
from core.specs import RunSpec
from core.store.store import Store

log = logging.getLogger(__name__)

STOP_SECONDS = 2.0  # between two signs of life, with a look whether another process stops the search
OnStep = Callable[[Progressed], None]  # a trial


def conduct(
    prepared: Prepared, store: Store, progress: Progress, on_step: OnStep, on_start: OnStart | None = None
) -> Certificate:
    """Search, judge and return the certificate; it resumes an earlier search with the same question.

    The search is a job of this process. As many trials run at once as the executor has room for.

    Raises:
        UserError: The search runs already, or its minutes hold no trial.
    """
    pilot = Autopilot(prepared, store)
    with own_job(store, SEARCH, prepared.question.model_dump_json(), begin=pilot.begin) as worker:
        pilot.record.store = worker.store
        return _search(pilot, worker, progress, on_step, on_start)


def _search(
    pilot: Autopilot, worker: Worker, progress: Progress, on_step: OnStep, on_start: OnStart | None = None
) -> Certificate:
    """Conduct the search of a job that this process has."""
    prepared, record, store = pilot.prepared, pilot.record, worker.store
    stored = best_stored(store, prepared)
    trials = _Trials(progress, worker, pilot)
    at_once = chosen_executor(store.url).capacity(prepared.run("dense", RUNGS[-1]))
    record.state(front=pilot.sampler.front(), opening=opening(prepared))
    try:
        for step in pilot.search(trials.compute, at_once, on_start):
            on_step(step)
            worker.check()
    except CancelledError:
        if not trials.stopped:
            raise
    trials.ended = True  # nothing stops the judgement
    record.state(judging=True)
    ranked, ended = pilot.ranked(), (pilot.exhausted, trials.stopped)
    found = certify(prepared, ranked, pilot.outcomes, stored, trials.compute, store, *ended)
    record.state(certificate=found)
    return found


def _or_sentence(compute: Callable[[], Result], check: Callable[[], None]) -> Result:
    """Return a result; `check` raises `CancelledError` if the trial was cancelled with its search."""
    try:
        return compute()
    except UserError:
        check()
        raise
    except Exception as error:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)  # no other chain would do better
        if full or isinstance(error, CancelledError):
            raise
        log.exception("A trial failed")
        raise UserError(f"Unexpected error ({type(error).__name__}: {error}).") from error


class _Trials:
    """Runs trials, whose progress states that they live, and cancels them once another process stops the search.

    The failure of a trial becomes a sentence, so that the search goes on with other chains.
    """

    def __init__(self, progress: Progress, worker: Worker, pilot: Autopilot):
        self.progress, self.worker, self.pilot = progress, worker, pilot
        self.stopped = self.ended = False
        self._seconds, self._looked = pilot.record.seconds, 0.0

    def compute(self, specs: Sequence[RunSpec]) -> Iterator[tuple[RunSpec, Callable[[], Result]]]:
        """Run variants as a sweep does."""
        job = self.worker.job_id
        for spec, result in results_of(specs, self.worker.store, self.step, partial(trial_here, job, run_alone), job):
            yield spec, partial(_or_sentence, result, self.worker.check)

    def step(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """Report the progress of a trial."""
        self.progress(stage, done, total, detail)
        if self.ended:
            self.worker.progress(stage, done, total, detail)
            return
        if time.monotonic() - self._looked > STOP_SECONDS:
            self._looked = time.monotonic()
            try:
                self.stopped, self._seconds = self.pilot.record.write()
            except StorageError as error:  # which is no fault of the chain
                log.warning("%s", error)
        words = " · ".join(filter(None, [STAGES.get(stage, stage.capitalize()), detail]))
        self.worker.progress(SEARCH, round(self._seconds), round(self.pilot.ends), words)
        if self.stopped:
            raise CancelledError


def start(question: Question, queue: Queue) -> str:
    """Queue a search; return its name.

    Raises:
        UserError: The question has no answer, its minutes hold no trial, or its search runs already.
    """

    def queued(connection: Connection, job_id: int | None) -> int:
        if job_id is not None:
            raise UserError(RUNS_ALREADY)
        return insert_job(connection, SEARCH, question.model_dump_json())

    pilot = Autopilot(prepare(question, queue.store), queue.store)
    pilot.begin(queued)
    queue.wake()
    return pilot.record.name


def main(job_id: str, token: str) -> int:
    """Conduct the search of a job in this process, and return the exit code."""
    prepare_process()
    worker = Worker(Store(), int(job_id), token)

    def perform(text: str) -> None:
        pilot = Autopilot(prepare(read_work(Question, text), worker.store), worker.store, worker.job_id)
        pilot.begin(lambda *_: worker.job_id)
        _search(pilot, worker, silent, partial(print, flush=True))

    return serve(worker, perform)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
