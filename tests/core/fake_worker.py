"""A job's process whose run is a fake: the model's name selects its behaviour. Started as `core.jobs.worker` is."""

import os
import signal
import sys
import time
from pathlib import Path

from core.base import paths
from core.base.errors import UserError
from core.jobs import worker
from tests.core.factories import make, perplexity

LEASE = "SLIMSCOPE_TEST_LEASE"  # seconds of a lease in these processes


def gate() -> Path:
    """Return the file that lets waiting runs go on."""
    return paths.local_results_dir() / "open"


def run(spec, store, progress):
    kind = spec.variant.model
    progress("prune", 1, 4, f"block 1 of {kind}")
    store.put(make(perplexity(20.0), key=spec.variant.key))
    print(f"running {kind}", flush=True)
    if kind.startswith("wait"):
        while not gate().exists():
            progress("evaluate", 2, 4, "window 2")
            time.sleep(0.02)
    elif kind == "training":  # does not look at its progress, and keeps what it has when it is interrupted
        try:
            time.sleep(600)
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGTERM)  # a second one does not disturb it
            store.put(make(perplexity(10.0), key=spec.variant.key))
            raise
    elif kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "refused":
        raise UserError("The corpus is too short.")


if __name__ == "__main__":
    worker.LEASE_SECONDS = float(os.environ.get(LEASE, worker.LEASE_SECONDS))
    sys.exit(worker.main(*sys.argv[1:], run=run))
