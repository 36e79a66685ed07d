"""The runs of a sweep or a search: here, or as jobs that run at once where the executor has room."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from core.base.errors import CancelledError, UserError
from core.base.progress import Progress
from core.jobs.kinds import TRIAL
from core.jobs.own import own_job
from core.jobs.queue import Job, Queue, runs_several
from core.jobs.worker import Worker
from core.results import Result
from core.specs import RunSpec
from core.store.store import Store

POLL_SECONDS = 0.5
Reported = TypeVar("Reported", bound=Progress)


def results_of(
    specs: Sequence[RunSpec],
    store: Store,
    progress: Reported,
    here: Callable[[RunSpec, Store, Reported], Result],
    parent: int | None = None,
) -> Iterator[tuple[RunSpec, Callable[[], Result]]]:
    """Yield runs, each with the function that returns its result or raises its error.

    The function computes the result by `here`, unless jobs do so, several at once. The job of a search is their parent.
    """
    for spec in specs:
        store.delete_cut_short(spec.variant.key)
    if runs_several():
        for spec, job in ended_jobs(specs, store, progress, parent):
            yield spec, partial(_result_of, job, store)
    else:
        for spec in specs:
            yield spec, partial(here, spec, store, progress)


def _result_of(job: Job, store: Store) -> Result:
    if job.state != "done":
        raise UserError(job.error or f"Its job was {job.state}.")
    return store.stored(job.spec.variant.key)


def trial_here(
    parent: int, here: Callable[[RunSpec, Store, Progress], Result], spec: RunSpec, store: Store, progress: Progress
) -> Result:
    """Return the result of `here`, with a row that others see and cancel.

    Raises:
        UserError: The row was cancelled.
    """
    worker: Worker | None = None
    try:
        with own_job(store, TRIAL, spec.model_dump_json(), parent) as worker:
            return here(spec, worker.store, both(progress, worker.progress))
    except CancelledError:
        if worker is not None and worker.stopped:
            raise UserError("It was cancelled.") from None
        raise


def both(first: Progress, then: Progress) -> Progress:
    """Return a progress that reports to two others."""

    def step(stage: str, done: int, total: int, detail: str = "") -> None:
        first(stage, done, total, detail)
        then(stage, done, total, detail)

    return step


def ended_jobs(
    specs: Sequence[RunSpec], store: Store, progress: Progress, parent: int | None = None
) -> Iterator[tuple[RunSpec, Job]]:
    """Queue runs and yield each with its ended job, in the order of their ends; cancel those left if it is closed."""
    queue = Queue(store)
    queue.start()
    left = dict(zip(queue.submit_all(specs, parent), specs, strict=True))
    try:
        while left:
            states = {job_id: queue.job(job_id) for job_id in left}
            for job_id, job in states.items():
                if not job.active:
                    yield left.pop(job_id), job
            progress("jobs", len(specs) - len(left), len(specs), queue.problem or _words(states.values()))
            time.sleep(POLL_SECONDS)
    finally:
        for job_id in left:
            with suppress(UserError):
                queue.cancel(job_id)
        queue.stop()


def _words(jobs: Collection[Job]) -> str:
    """Return how many jobs run and how many wait."""
    counts = Counter(job.state for job in jobs if job.active)
    return ", ".join(f"{counts[state]} {state}" for state in ("running", "queued") if counts[state])
