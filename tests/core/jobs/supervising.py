"""The process of a dashboard that supervises jobs on a cluster, `-m tests.core.jobs.supervising STEP`."""

import sys
import time

from core.jobs import worker
from core.jobs.cluster.executor import RayExecutor
from core.jobs.cluster.messages import Needs
from core.jobs.queue import Queue
from core.store.store import Store

LEASE_SECONDS = 8.0

if __name__ == "__main__":
    worker.LEASE_SECONDS = LEASE_SECONDS
    RayExecutor._needs = lambda self, spec: Needs(cores=1)
    store = Store()
    Queue(store, RayExecutor(store.url, (sys.executable, "-m", "tests.core.jobs.pausing_worker", sys.argv[1]))).start()
    time.sleep(3600)
