"""Several machines at one queue: whose clock counts, and which of them runs a job."""

import os
import time

import psutil
import pytest

from core.jobs import supervisor
from core.jobs.executor import LocalExecutor
from core.jobs.here import lacking_here, runs_here
from core.jobs.supervisor import Supervisor
from core.request.complete import complete
from core.specs import Perplexity
from core.store.store import Store
from tests.core.fake_worker import gate
from tests.core.queues import FAKE, change, ended, running, spec

pytestmark = pytest.mark.usefixtures("quick_supervisor")


@pytest.fixture
def other():
    """The supervisor of another machine at the same database."""
    store = Store()
    found = Supervisor(store, LocalExecutor(store.url, FAKE))
    found.host = found.executor.host = "another"
    yield found
    for handle in found.handles.values():
        handle.kill()


def test_a_wrong_clock_does_not_end_running_jobs(queue, other, monkeypatch):
    job_id = queue.submit(spec("wait"))
    running(queue, job_id)
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + 300)
    other.step()
    gate().touch()
    job = ended(queue, job_id)
    assert (job.state, job.attempts) == ("done", 1)


def test_database_clock_decides_when_a_silent_job_is_taken_over(store, make_queue, other):
    queue = make_queue()
    job_id = queue.submit(spec("wait"))
    now = queue.job(job_id).read
    change(store, job_id, state="running", token="t", handle="first 7 1.0", started=1.0, lease=now + 60, host="another")
    other.step()
    assert queue.job(job_id).state == "running" and not other.handles
    change(store, job_id, lease=now - 1)
    other.step()
    assert list(other.handles) == [queue.job(job_id).token]
    gate().touch()


def test_a_job_on_a_cluster_is_left_to_its_lease(store, make_queue, other):
    queue = make_queue()
    job_id = queue.submit(spec("wait"))
    now = queue.job(job_id).read
    change(store, job_id, state="running", token="t", handle="ray:slimscope-t", started=1.0, lease=now + 60)
    other.step()
    assert queue.job(job_id).state == "running" and not other.handles
    change(store, job_id, lease=now - 1, cancel=now)
    other.step()
    assert queue.job(job_id).state == "cancelled"


def test_a_job_with_a_heartbeat_is_adopted_after_a_clock_change(store, make_queue):
    queue = make_queue()
    job_id = queue.submit(spec("wait"))
    watcher = Supervisor(store, LocalExecutor(store.url, FAKE))
    earlier = psutil.Process().create_time() - 300
    mine = {"handle": f"{watcher.host} {os.getpid()} {earlier}", "started": 1.0, "attempts": 1}
    change(store, job_id, state="running", token="t", **mine, heartbeat=queue.job(job_id).read)
    watcher.step()
    assert list(watcher.handles) == ["t"]


def test_job_times_come_from_the_database_clock(queue, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 5.0)
    job = ended(queue, queue.submit(spec("steps")))
    queue.cancel(late := queue.submit(spec("late")))
    assert min(job.created, job.started, job.heartbeat, job.finished, queue.job(late).finished) > 1e9


def test_a_job_waits_for_the_machine_that_has_its_model(queue, other):
    queue.stop()
    job_id = queue.submit(spec("a folder of mine"))
    other.step()
    assert queue.job(job_id).state == "queued"
    queue.start()
    assert ended(queue, job_id).state == "done"


def test_a_job_without_a_machine_can_run_anywhere(store, make_queue, other):
    queue = make_queue()
    job_id = queue.submit(spec("steps"))
    change(store, job_id, host=None)
    other.step()
    assert list(other.handles) == [queue.job(job_id).token]


def test_jobs_waiting_for_another_machine_do_not_block_the_queue(make_queue, store, other, machine):
    queue = make_queue()
    here = complete("./tiny", "magnitude@0.5", perplexity=[Perplexity.parse("text.txt@32:4")])
    remote, fits = queue.submit(spec("a folder elsewhere")), queue.submit(here)
    other.step()
    assert list(other.handles) == [queue.job(fits).token] and queue.job(remote).state == "queued"


def test_a_machine_runs_only_jobs_whose_files_it_has(machine, tmp_path):
    asked = complete("./tiny", "magnitude@0.5", perplexity=[Perplexity.parse("text.txt@32:4")])
    assert runs_here(asked.model_dump_json())
    elsewhere = asked.variant.model_copy(update={"revision": "sha256:0123456789ab"})
    text = Perplexity(corpus="other.txt@01234567", window=32, windows=4)
    (stage,) = asked.variant.stages
    other = asked.variant.model_copy(update={"stages": (stage.model_copy(update={"version": 99}),)})
    for lacking, reason in (
        ({"variant": other}, "its methods have other versions there"),
        ({"variant": elsewhere}, "its model folder is only there"),
        ({"perplexity": (text,)}, "its text is only there"),
        ({"save": str(tmp_path / "folder")}, "it saves its model there"),
    ):
        assert lacking_here(asked.model_copy(update=lacking)) == reason
        assert not runs_here(asked.model_copy(update=lacking).model_dump_json())
    taught = asked.variant.stages[0].model_copy(update={"parameters": {"teacher": "elsewhere@sha256:0"}})
    variant = asked.variant.model_copy(update={"stages": (taught,)})
    assert not runs_here(asked.model_copy(update={"variant": variant}).model_dump_json())
    assert not runs_here("{}")


def test_jobs_of_another_machine_are_rechecked_at_intervals(store, make_queue, other, monkeypatch):
    queue, asked = make_queue(), []
    queue.submit(spec("a folder elsewhere"))
    monkeypatch.setattr(supervisor, "runs_here", lambda text: asked.append(text))
    other.step()
    other.step()
    assert len(asked) == 1
    monkeypatch.setattr(supervisor, "FETCH_SECONDS", -1.0)
    other.step()
    assert len(asked) == 2
