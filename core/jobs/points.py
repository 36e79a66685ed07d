"""The runs of a sweep as jobs, which run at once where the executor has room."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from core.errors import UserError
from core.jobs.queue import Job, Queue
from core.progress import Progress
from core.specs import RunSpec
from core.store.store import Store

POLL_SECONDS = 0.5


def ended_jobs(specs: Sequence[RunSpec], store: Store, progress: Progress) -> Iterator[tuple[RunSpec, Job]]:
    """Queue runs and yield each with its ended job, in the order of their ends; cancel those left if it is closed."""
    queue = Queue(store)
    queue.start()
    left = dict(zip(queue.submit_all(specs), specs, strict=True))
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
