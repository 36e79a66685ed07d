"""The queue with real processes: ends, cancels, crashes, and several supervisors."""

import os
import signal
import time

import psutil
import pytest

from core.errors import UserError
from core.jobs import supervisor, worker
from core.jobs.executor import LocalExecutor
from core.jobs.logs import log_file
from core.jobs.queue import Queue
from core.store.slots import compute_lock
from core.store.store import Store
from tests.core.fake_worker import gate
from tests.core.queues import FAKE, ended, process_of, running, spec, until

pytestmark = pytest.mark.usefixtures("quick_supervisor")


def test_a_job_runs_and_reports_progress(queue, store):
    job_id = queue.submit(spec("wait"))
    job = running(queue, job_id)
    assert (job.state, job.done, job.total, job.detail) == ("running", 2, 4, "window 2")
    assert job.created <= job.started <= job.stage_started
    first = job.heartbeat
    until(lambda: queue.job(job_id).heartbeat > first)
    assert os.getsid(process_of(job)) == process_of(job)  # a session of its own
    gate().touch()
    job = ended(queue, job_id)
    assert (job.state, job.error, job.attempts) == ("done", None, 1)
    assert job.finished >= job.started
    assert store.get(job.spec.variant.key).measurements
    assert queue.log_tail(job_id, 1) == "running wait"


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("refused", "The corpus is too short."),
        ("broken", "ValueError: shapes differ"),
        ("large", "Memory ran out; choose a smaller model, or fewer or shorter sequences."),
        ("exits", "The job's process ended with exit code 3; last output: the library gave up"),
        ("cut", "The job's process was killed (SIGBUS); most likely a file of the model was cut while it was read"),
        ("killed", "The job's process was killed (SIGKILL); most likely the memory ran out; last output: running"),
    ],
)
def test_a_failed_job_reports_its_error(queue, kind, error):
    job = ended(queue, queue.submit(spec(kind)))
    assert job.state == "failed"
    assert job.error.startswith(error)
    assert "\n" not in job.error
    assert ("Traceback" in queue.log_tail(job.id)) == (kind in ("broken", "large"))


def test_a_killed_process_leaves_the_store_intact(queue, store):
    job_id = queue.submit(spec("wait"))
    job = running(queue, job_id)
    os.kill(process_of(job), signal.SIGKILL)
    job = ended(queue, job_id)
    assert job.state == "failed"
    assert "SIGKILL" in job.error
    assert len(store.results()) == 1  # what it had stored before
    with store.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    gate().touch()
    assert ended(queue, queue.retry(job_id)).state == "done"  # it gets the compute lock and the store


def test_jobs_run_one_after_another_in_order(queue):
    ids = [queue.submit(spec(f"wait {i}")) for i in range(3)]
    running(queue, ids[0])
    assert [queue.job(i).state for i in ids] == ["running", "queued", "queued"]
    gate().touch()
    done = [ended(queue, i) for i in ids]
    assert [job.state for job in done] == ["done"] * 3
    assert done[0].finished <= done[1].started
    assert done[1].finished <= done[2].started
    assert [job.id for job in queue.jobs(2)] == [ids[2], ids[1]]


def test_as_many_jobs_run_at_once_as_there_are_slots(make_queue, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_SLOTS", "2")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    queue = make_queue()
    ids = queue.submit_all([spec(f"wait {i}") for i in range(3)])
    queue.start()
    both = [running(queue, i) for i in ids[:2]]
    assert queue.job(ids[2]).state == "queued"
    each = str(max(1, os.cpu_count() // 2))
    assert [psutil.Process(process_of(job)).environ()["OMP_NUM_THREADS"] for job in both] == [each, each]
    gate().touch()
    assert [ended(queue, i).state for i in ids] == ["done"] * 3


def test_cancelling_is_cooperative(queue):
    first, second = queue.submit(spec("wait")), queue.submit(spec("wait too"))
    running(queue, first)
    queue.cancel(second)
    assert queue.job(second).state == "cancelled"
    assert queue.job(second).started is None
    queue.cancel(first)
    job = ended(queue, first)
    assert (job.state, job.error) == ("cancelled", None)
    queue.cancel(first)  # no matter


@pytest.mark.parametrize("kind", ["deaf", "stubborn"])
def test_an_unresponsive_job_is_killed(queue, monkeypatch, kind):
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.3)
    job_id = queue.submit(spec(kind))
    until(lambda: queue.log_tail(job_id, 1) == f"running {kind}")
    pid = process_of(queue.job(job_id))
    queue.cancel(job_id)
    job = ended(queue, job_id)
    assert (job.state, job.error) == ("cancelled", None)
    until(lambda: not psutil.pid_exists(pid))


@pytest.mark.parametrize("kind", ["wait", "keeping"])
def test_a_halted_job_that_is_cancelled_resumes_and_stops(queue, store, kind):
    job_id = queue.submit(spec(kind))
    job = running(queue, job_id, "train" if kind == "keeping" else "evaluate")
    os.kill(process_of(job), signal.SIGSTOP)
    queue.cancel(job_id)
    assert ended(queue, job_id).state == "cancelled"
    (kept,) = store.results()
    assert [row.value for row in kept.measurements] == [10.0 if kind == "keeping" else 20.0]


def test_a_job_that_is_halted_repeatedly_is_killed(queue, monkeypatch):
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 2.0)
    monkeypatch.setattr(supervisor, "KILL_TIMES", 1000)
    job_id = queue.submit(spec("halting"))
    until(lambda: queue.log_tail(job_id, 1) == "running halting")
    pid = process_of(queue.job(job_id))
    queue.cancel(job_id)
    assert ended(queue, job_id).state == "cancelled"
    until(lambda: not psutil.pid_exists(pid))


def test_a_cancelled_training_keeps_its_best_weights(queue, store, monkeypatch):
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 2 * worker.HEARTBEAT_SECONDS)  # it has noticed by then
    job_id = queue.submit(spec("training"))
    until(lambda: queue.log_tail(job_id, 1) == "running training")
    queue.cancel(job_id)
    assert ended(queue, job_id).state == "cancelled"
    (kept,) = store.results()
    assert [row.value for row in kept.measurements] == [10.0]


def test_a_cancelled_job_that_is_saving_is_not_killed(queue, store, monkeypatch):
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 2 * worker.HEARTBEAT_SECONDS)  # it has heard by then
    job_id = queue.submit(spec("keeping"))
    running(queue, job_id, "train")
    queue.cancel(job_id)
    assert ended(queue, job_id).state == "cancelled"
    (kept,) = store.results()
    assert [row.value for row in kept.measurements] == [10.0]


def test_a_job_waits_for_a_command_line_run_and_reports_it(queue):
    with compute_lock():
        job = running(queue, queue.submit(spec("steps")), "waiting")
        assert job.detail == "another run on this machine"
    assert ended(queue, job.id).state == "done"


def test_a_waiting_job_can_be_cancelled(queue):
    with compute_lock():
        job_id = queue.submit(spec("steps"))
        running(queue, job_id, "waiting")
        queue.cancel(job_id)
        assert ended(queue, job_id).state == "cancelled"


def test_a_run_queued_twice_runs_once(make_queue):
    queue = make_queue()
    first = queue.submit(spec("a"))
    assert queue.submit(spec("a")) == first
    assert queue.submit(spec("b")) != first
    queue.cancel(first)
    again = queue.retry(first)
    assert again != first
    assert queue.job(again).spec == spec("a")


def test_only_ended_jobs_can_be_retried_or_deleted(make_queue):
    queue = make_queue()
    job_id = queue.submit(spec("a"))
    with pytest.raises(UserError, match=f"Job {job_id} is queued; cancel it first"):
        queue.delete(job_id)
    with pytest.raises(UserError, match="still active"):
        queue.retry(job_id)
    queue.cancel(job_id)
    log_file(job_id).parent.mkdir(parents=True, exist_ok=True)
    log_file(job_id).write_text("something")
    queue.delete(job_id)
    assert queue.jobs() == []
    assert queue.log_tail(job_id) == ""
    for call in (queue.job, queue.cancel, queue.delete, queue.retry):
        with pytest.raises(UserError, match=f"There is no job {job_id}"):
            call(job_id)
    assert queue.submit(spec("a")) > job_id  # an id is never given twice


def test_a_process_that_cannot_be_started_fails_the_job(store):
    queue = Queue(store, LocalExecutor(store.url, ("/nonexistent/python",)))
    queue.start()
    job = ended(queue, queue.submit(spec("a")))
    queue.stop()
    assert (job.state, job.error) == (
        "failed",
        "The job's process did not start: No such file or directory.",
    )


def test_only_one_of_two_supervisors_is_active(queue, make_queue):
    second = make_queue()
    second.start()
    job_id = second.submit(spec("wait"))
    running(second, job_id)
    until(lambda: queue._supervisor.handles or second._supervisor.handles)  # its child may report earlier
    one, other = (queue, second) if queue._supervisor.handles else (second, queue)  # either thread may come first
    token = second.job(job_id).token
    assert (list(one._supervisor.handles), other._supervisor.handles) == ([token], {})
    one.stop()
    until(lambda: list(other._supervisor.handles) == [token])  # adopted, not started again
    gate().touch()
    job = ended(other, job_id)
    assert (job.state, job.attempts) == ("done", 1)


def test_the_supervisor_survives_an_error(store, monkeypatch, caplog):
    queue = Queue(store, LocalExecutor(store.url, FAKE))
    step, calls = queue._supervisor.step, []

    def failing():
        calls.append(1)
        if len(calls) == 1:
            raise UserError("The disk is full.")
        step()

    monkeypatch.setattr(queue._supervisor, "step", failing)
    queue.start()
    assert ended(queue, queue.submit(spec("steps"))).state == "done"
    queue.stop()
    assert "The disk is full" in caplog.text


def test_an_idle_supervisor_sleeps(store, monkeypatch):
    monkeypatch.setattr(supervisor, "IDLE_SECONDS", 3600)
    queue = Queue(store, LocalExecutor(store.url, FAKE))
    step, calls = queue._supervisor.step, []
    monkeypatch.setattr(queue._supervisor, "step", lambda: (calls.append(1), step()))
    queue.start()
    time.sleep(0.5)
    assert len(calls) <= 1
    job_id = queue.submit(spec("steps"))  # wakes it
    assert ended(queue, job_id).state == "done"
    queue.stop()


def test_a_read_only_results_folder_is_reported_until_writable(results_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_DB", f"sqlite:///{tmp_path / 'jobs.db'}")
    results_dir.write_text("a file where the folder belongs")
    store = Store()
    queue = Queue(store, LocalExecutor(store.url, FAKE))
    queue.start()
    until(lambda: queue.problem)
    assert queue.problem == (
        f"The results folder {results_dir} is not writable (File exists), so no job starts; make it writable, or set "
        "SLIMSCOPE_RESULTS to another folder."
    )
    queue.start()  # no matter
    job_id = queue.submit(spec("steps"))
    results_dir.unlink()
    assert ended(queue, job_id).state == "done"
    until(lambda: queue.problem is None)
    queue.stop()


def test_a_stopped_queue_can_restart(queue):
    queue.stop()
    queue.start()
    assert ended(queue, queue.submit(spec("steps"))).state == "done"


def test_supervisor_errors_are_reported(store, monkeypatch):
    queue = Queue(store, LocalExecutor(store.url, FAKE))

    def failing():
        raise UserError("The disk is full.")

    monkeypatch.setattr(queue._supervisor, "step", failing)
    queue.start()
    until(lambda: queue.problem == "The queue failed and will retry: The disk is full.")
    queue.stop()
