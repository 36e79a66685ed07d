"""SIGKILL of each process of a cluster at each step of a job: it ends with the numbers of an undisturbed run."""

import os
import subprocess
import sys
from contextlib import contextmanager

import psutil
import pytest

from core.engine.runs import run
from core.jobs.queue import Queue
from core.request.complete import complete
from core.specs import Perplexity, TextWindows
from core.store.store import Store
from tests.core.fake_worker import LEASE
from tests.core.jobs.cluster import cluster
from tests.core.jobs.pausing_worker import MARK
from tests.core.jobs.supervising import LEASE_SECONDS
from tests.core.queues import until

pytestmark = [pytest.mark.ray, pytest.mark.full]
STEPS = ("claim", "load", "observe", "compress", "train", "perplexity", "store")
KILLED = ("head", "node", "worker", "actor", "supervisor")
CHAIN = "shortgpt@0.5+sparsegpt@0.5+lora,steps=2,batch=2,held_out=1"


def spec(folder):
    text = str(folder / "text.txt")
    return complete(
        str(folder / "tiny"),
        CHAIN,
        calibration=TextWindows(corpus=text, windows=4, window=32),
        train=TextWindows(corpus=text, windows=8, window=32),
        perplexity=[Perplexity(corpus=text, window=32, windows=4)],
        threads=1,
    )


def numbers(store):
    return [(key, row.metric, row.value) for key, result, _ in sorted(store.own()) for row in result.measurements]


@pytest.fixture(scope="module")
def undisturbed(folder, tmp_path_factory):
    """The numbers of the run in one process."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SLIMSCOPE_RESULTS", "SLIMSCOPE_CACHE"):
            patch.setenv(name, str(tmp_path_factory.mktemp("undisturbed")))
        store = Store()
        run(spec(folder), store)
        return numbers(store)


@contextmanager
def supervisor(step):
    """A process that supervises; whoever kills it starts another one."""
    found = [subprocess.Popen([sys.executable, "-m", "tests.core.jobs.supervising", step])]
    yield found
    for process in found:
        process.kill()
        process.wait()


def kill(what, machines, supervisors, pid, step):
    """Kill a process, and start another one in its place where a person or a service would."""
    if what == "worker":
        os.killpg(pid, 9)
    elif what == "actor":
        psutil.Process(pid).parent().kill()
    elif what == "node":
        machines.kill(machines.nodes.pop())
        machines.add(1)
    elif what == "head":
        port = machines.kill_head()
        machines.nodes.clear()
        machines.start_head(port)
        machines.add(1)
    else:
        supervisors[-1].kill()
        supervisors.append(subprocess.Popen([sys.executable, "-m", "tests.core.jobs.supervising", step]))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("what", KILLED)
def test_a_job_whose_cluster_loses_a_process_ends_with_its_numbers(
    what, step, folder, undisturbed, results_dir, tmp_path, monkeypatch
):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(MARK, str(tmp_path / "mark"))
    monkeypatch.setenv(LEASE, str(LEASE_SECONDS))
    results_dir.mkdir()
    with cluster(1) as machines:
        monkeypatch.setenv("RAY_ADDRESS", machines.address)
        queue = Queue(Store())
        with supervisor(step) as supervisors:
            job_id = queue.submit(spec(folder))
            until((tmp_path / "mark").exists)
            pid = int((tmp_path / "mark").read_text() or 0)
            kill(what, machines, supervisors, pid, step)
            if what == "supervisor":  # the worker goes on; here it would pause for ever
                os.killpg(pid, 9)
            until(lambda: not queue.job(job_id).active, seconds=180)
            job = queue.job(job_id)
            if what in ("worker", "supervisor"):
                assert job.state == "failed" and "was killed (SIGKILL)" in job.error
                job_id = queue.retry(job_id)
                until(lambda: not queue.job(job_id).active, seconds=180)
                job = queue.job(job_id)
            assert job.state == "done", job.error
            assert numbers(queue.store) == undisturbed
