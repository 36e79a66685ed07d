"""A job's process that pauses the first time it reaches a step, `-m tests.core.jobs.pausing_worker STEP JOB TOKEN ...`.

`claim` is before it writes its row, and `store` before it stores numbers; the others are stages of the progress.
"""

import os
import sys
import time
from pathlib import Path

from core.engine import runs
from core.jobs import worker
from tests.core.fake_worker import LEASE

MARK = "SLIMSCOPE_TEST_MARK"  # a file that the process creates when it pauses
PAUSE_SECONDS = 600


def pause():
    mark = Path(os.environ[MARK])
    if not mark.exists():
        mark.write_text(str(os.getpid()))
        time.sleep(PAUSE_SECONDS)


def main(step, *arguments):
    worker.LEASE_SECONDS = float(os.environ[LEASE])

    def run(spec, store, progress):
        def reporting(stage, done, total, detail=""):
            progress(stage, done, total, detail)
            if stage == step:
                pause()

        if step == "store":
            put = store.put

            def putting(result):
                if result.measurements:
                    pause()
                put(result)

            store.put = putting
        return runs.run(spec, store, reporting)

    if step == "claim":
        pause()
    return worker.main(*arguments, run=run)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
