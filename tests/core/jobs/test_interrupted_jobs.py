"""Jobs whose process or supervisor died, or is on another machine."""

import os
import subprocess

import psutil
import pytest

from core.jobs.executor import End, find_process
from tests.core.queues import PlayedQueue, change, spec, until

pytestmark = pytest.mark.usefixtures("quick_supervisor")


def test_a_later_supervisor_adopts_a_process_and_reports_its_death(played, store):
    job_id = played.begin()
    later = PlayedQueue(store, played.processes)
    later.step()
    assert list(later.supervisor.handles) == [later.job(job_id).token] and later.job(job_id).attempts == 1
    later.process(job_id).end = End("ended")
    later.step()
    assert (later.job(job_id).state, later.job(job_id).error) == ("failed", "The job's process ended.")


@pytest.fixture
def orphan(store, played):
    """A function that gives the columns to a running job whose process has ended, lets a supervisor look, and returns
    the job before and after it."""

    def looked_at(**values):
        job_id = played.submit(spec("a"))
        lease = played.job(job_id).read + 60
        given = {"handle": f"{os.uname().nodename} 7 1.0", "token": "earlier", "lease": lease, "attempts": 1}
        change(store, job_id, state="running", started=1.0, **(given | values))
        before = played.job(job_id)
        played.step()
        return before, played.job(job_id)

    return looked_at


@pytest.mark.parametrize(
    ("attempts", "cancel", "found"),
    [(1, None, ("running", 2)), (2, None, ("running", 3)), (3, None, ("failed", 3)), (1, 5.0, ("cancelled", 1))],
)
def test_an_interrupted_job_runs_again_at_most_twice(orphan, played, attempts, cancel, found):
    before, job = orphan(attempts=attempts, cancel=cancel)
    assert (job.state, job.attempts) == found
    if job.state == "running":
        assert job.token != before.token and job.handle in played.processes and job.lease > job.read + 30
    else:
        assert job.finished and (cancel or job.error.startswith("The job was interrupted 3 times"))


@pytest.mark.parametrize("handle", [None, "elsewhere 7 1.0", "ray:slimscope-t"])
def test_a_process_that_cannot_be_seen_is_lost_when_its_lease_ends(orphan, played, store, handle):
    before, job = orphan(handle=handle)
    assert (job.state, job.token) == ("running", before.token)
    change(store, job.id, lease=job.read - 1)
    played.step()
    assert played.job(job.id).attempts == 2
    change(store, job.id, token="other", handle=handle, cancel=5.0, lease=job.read - 1)
    played.step()
    assert played.job(job.id).state == "cancelled"


@pytest.mark.parametrize("lost", [True, False])
def test_a_process_that_ended_with_its_machine_or_without_a_lease_runs_again(played, store, lost):
    job_id = played.begin()
    played.process(job_id).end = End("ended", lost=lost)
    if not lost:
        change(store, job_id, lease=1.0)  # it could not reach the database
    played.step()
    assert (played.job(job_id).state, played.job(job_id).attempts) == ("running", 2)


@pytest.mark.parametrize("local", [True, False])
def test_a_process_without_a_lease_is_killed_on_a_cluster_only(played, store, local):
    job_id = played.begin()
    process = played.process(job_id)
    played.supervisor.executor.is_local = local
    change(store, job_id, lease=1.0)
    played.step()
    assert process.orders == ([] if local else ["kill"]) and played.job(job_id).attempts == (1 if local else 2)


@pytest.mark.parametrize("deleted", [True, False])
def test_a_process_whose_job_has_another_attempt_is_killed(played, store, deleted):
    job_id = played.begin()
    process, token = played.process(job_id), "another"
    if deleted:
        played.finish(job_id)
        played.supervisor.handles["t"] = process
        played.delete(job_id)
    else:
        change(store, job_id, token=token, handle="elsewhere 7 1.0")
    played.step()
    assert process.orders == ["kill"] and not played.supervisor.handles
    assert deleted or (played.job(job_id).state, played.job(job_id).token) == ("running", token)


def test_a_process_that_nobody_waited_for_has_ended():
    process = subprocess.Popen(["true"])
    handle = f"{os.uname().nodename} {process.pid} {psutil.Process(process.pid).create_time()}"
    until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    assert find_process(handle) is None
    process.wait()
    assert find_process(handle) is None
