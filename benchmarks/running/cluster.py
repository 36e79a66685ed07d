"""Overhead of jobs on a Ray cluster against bare Ray tasks that start the same process.

    python -m benchmarks.running.cluster [--jobs 200] [--slots 8] [--seconds 1]

A job's process sleeps and stores nothing. The process of a bare task imports the same modules and sleeps as long. Both
sides use one cluster on this machine, in turn. The overhead of a job is the time that a slot spends on it beyond the
sleep. The benchmark prints both and their ratio.
"""

import logging
import os
import subprocess
import sys
import time
from tempfile import TemporaryDirectory
from unittest import mock

from rich.console import Console
from rich.table import Table

from benchmarks.smoke import run
from core.base.errors import UserError
from core.jobs.cluster.executor import RayExecutor
from core.jobs.cluster.messages import Resources
from core.jobs.queue import Queue
from core.specs import RunSpec, Stage, VariantSpec
from core.store.store import Store
from tests.core.jobs.cluster import cluster

SMOKE = {"jobs": 3, "slots": 2, "seconds": 0.1}
PAUSE_SECONDS = 0.1
# A job that sleeps; the arguments of `core.jobs.worker` follow the seconds.
WORK = """import sys, time
from core.jobs import worker
sys.exit(worker.main(*sys.argv[2:], run=lambda *_: time.sleep(float(sys.argv[1]))))"""


def main(model: str = "", jobs: int = 200, slots: int = 8, seconds: float = 1.0) -> None:
    """Measure both sides and print them; no model is loaded."""
    with (
        TemporaryDirectory() as place,
        cluster(slots, SLIMSCOPE_RESULTS=place) as machines,
        mock.patch.dict(os.environ, {"SLIMSCOPE_RESULTS": place, "RAY_ADDRESS": machines.address}),
    ):
        bare = time_bare(jobs, seconds)
        ours = time_jobs(jobs, seconds)
    table = Table("", "whole, s", "overhead of a job, s", "ratio")
    overheads = [whole * slots / jobs - seconds for whole in (bare, ours)]
    table.add_row("bare Ray tasks", f"{bare:.1f}", f"{overheads[0]:.2f}", "1.00")
    table.add_row("jobs", f"{ours:.1f}", f"{overheads[1]:.2f}", f"{overheads[1] / overheads[0]:.2f}")
    Console().print(table)


def time_bare(jobs: int, seconds: float) -> float:
    """Return the seconds of bare tasks, measured in a process of their own, which connects to the cluster first."""
    done = subprocess.run(
        [sys.executable, "-c", "from benchmarks.running.cluster import run_bare; run_bare()", str(jobs), str(seconds)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def run_bare() -> None:
    """Run the bare tasks of the command line in this process, and print their seconds."""
    import ray

    jobs, seconds = int(sys.argv[1]), float(sys.argv[2])

    ray.init(os.environ["RAY_ADDRESS"], log_to_driver=False, logging_level=logging.ERROR)
    command = [sys.executable, "-c", f"import time, core.jobs.worker; time.sleep({seconds})"]

    @ray.remote(num_cpus=1)
    def task() -> None:
        subprocess.run(command, check=True)

    started = time.perf_counter()
    ray.get([task.remote() for _ in range(jobs)])
    print(time.perf_counter() - started)


def time_jobs(jobs: int, seconds: float) -> float:
    """Return the seconds from the submission of jobs, with a connected executor, to the end of the last."""
    store = Store()
    command = (sys.executable, "-c", WORK, str(seconds))
    with mock.patch.object(RayExecutor, "_needs", lambda self, spec: Resources(cores=1)):
        queue = Queue(store, RayExecutor(store.url, command))
        queue.start()
        specs = [_spec(place) for place in range(jobs)]
        with mock.patch.object(RayExecutor, "refusal", lambda self, specs: None):
            ids = queue.submit_all(specs[:1])  # the first one waits for the connection
            _wait(queue, ids)
            started = time.perf_counter()
            _wait(queue, queue.submit_all(specs))
            whole = time.perf_counter() - started
        queue.stop()
    return whole


def _spec(place: int) -> RunSpec:
    return RunSpec(variant=VariantSpec(model=f"model{place}", revision="r", stages=(Stage(method="dense"),)))


def _wait(queue: Queue, ids: list[int]) -> None:
    while queue.active():
        time.sleep(PAUSE_SECONDS)
    for job_id in ids:
        if queue.job(job_id).state != "done":
            raise UserError(f"Job {job_id} {queue.job(job_id).state}: {queue.job(job_id).error}")


if __name__ == "__main__":
    run(main, SMOKE)
