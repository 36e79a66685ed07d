"""A job's process that is no fork, and whose run is made up: `python -P -m tests.kills.worker JOB TOKEN [bound]`."""

import sys
import time

from core.base.progress import Progress
from core.jobs import worker
from core.results import Result
from core.specs import RunSpec
from core.store.store import Store
from tests.core.search.texts import played_run

WORKER = (sys.executable, "-P", "-m", "tests.kills.worker")
LEASE_SECONDS = 30.0  # a worker that starts on a busy machine takes over 8 s until its first sign of life
STEPS, STEP_SECONDS = 5, 0.03


def slow_run(spec: RunSpec, store: Store, progress: Progress) -> Result:
    """Run a made-up model so slowly that a kill may hit it."""
    for done in range(STEPS):
        progress("prune", done, STEPS)
        time.sleep(STEP_SECONDS)
    return played_run(spec, store)


if __name__ == "__main__":
    worker.LEASE_SECONDS = LEASE_SECONDS
    sys.exit(worker.main(*sys.argv[1:], run=slow_run))
