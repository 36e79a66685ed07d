"""The queue and its supervisor: real processes run and are killed, and rows change as they should without any."""

import os
import signal

import psutil
import pytest

from core.base.errors import UserError
from core.jobs import executor as executors
from core.jobs import supervisor
from core.jobs.executor import End, Executor, find_process, handle_text
from core.jobs.logs import log_file, log_tail, with_last_line
from core.jobs.processes import describe_exit
from core.jobs.queue import Queue
from core.store.store import Store
from tests.core.fake_worker import gate
from tests.core.queues import PlayedQueue, change, ended, process_of, running, spec, until

pytestmark = pytest.mark.usefixtures("quick_supervisor")


def states(queue):
    return [job.state for job in reversed(queue.jobs())]


def test_a_job_runs_and_reports_progress(queue, store):
    job_id = queue.submit(spec("wait"))
    job = running(queue, job_id)
    assert (job.state, job.done, job.total, job.detail) == ("running", 2, 4, "window 2")
    assert job.created <= job.started <= job.stage_started
    first = job.heartbeat
    until(lambda: queue.job(job_id).heartbeat > first)
    gate().touch()
    job = ended(queue, job_id)
    assert (job.state, job.error, job.attempts) == ("done", None, 1)
    assert job.finished >= job.started
    assert store.get(job.spec.variant.key).measurements
    assert log_tail(job_id, 1) == "running wait"


def test_a_killed_process_leaves_the_store_intact(queue, store):
    job_id = queue.submit(spec("wait"))
    job = running(queue, job_id)
    os.kill(process_of(job), signal.SIGKILL)
    job = ended(queue, job_id)
    assert job.state == "failed" and job.error.endswith("; last output: running wait")
    assert len(store.results()) == 1  # what it had stored before
    with store.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    gate().touch()
    assert ended(queue, queue.retry(job_id)).state == "done"  # it gets the compute lock and the store


def test_a_process_is_found_halted_resumed_and_killed(store, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_SLOTS", "2")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    executor = Executor(store.url, ("sh", "-c", "echo $SLIMSCOPE_DB $OMP_NUM_THREADS $0 $1; sleep 600"))
    handle = executor.launch(7, "t", "")
    try:
        until(lambda: log_tail(7, 1))
        assert log_tail(7, 1) == f"{store.url} {max(1, os.cpu_count() // 2)} 7 t"
        assert executor.has_room([handle]) and not executor.has_room([handle, handle])
        adopted = executor.adopt(handle.text)
        assert adopted.text == handle.text and executor.sees(handle.text) and not executor.sees("elsewhere 7 1.0")
        assert os.getsid(handle.process.pid) == handle.process.pid  # a session of its own
        os.kill(handle.process.pid, signal.SIGSTOP)
        until(lambda: handle.stopped() and adopted.stopped())
        adopted.resume()
        until(lambda: not handle.stopped())
        assert handle.poll() is adopted.poll() is None
        below = psutil.Process(handle.process.pid).children()
        adopted.kill()
        until(lambda: adopted.poll() and executor.adopt(handle.text) is None)  # also before it is waited for
    finally:
        handle.kill()
    until(handle.poll)
    assert handle.poll() == End(describe_exit(-signal.SIGKILL)) and adopted.poll() == End("ended", lost=True)
    monkeypatch.setattr(executors, "DYING_SECONDS", 0.0)
    assert adopted.poll() == End("ended")
    until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in below))
    assert not handle.stopped()


def test_a_reused_pid_is_not_mistaken_for_the_job():
    here = psutil.Process()
    earlier = handle_text(here).rsplit(maxsplit=1)[0] + f" {here.create_time() - 3600}"
    assert find_process(handle_text(here)) == here and find_process(earlier) is None
    assert find_process(earlier, beating=True) == here  # the clock was set


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3, "ended with exit code 3"),
        (-signal.SIGTERM, "was killed (SIGTERM)"),
        (-signal.SIGBUS, "was killed (SIGBUS); most likely a file of the model was cut while it was read"),
        (-signal.SIGKILL, "was killed (SIGKILL); most likely the memory ran out"),
    ],
)
def test_the_end_of_a_process_is_described_with_its_last_output(played, code, words):
    assert describe_exit(code) == words
    job_id = played.begin()
    assert with_last_line(words, job_id) == f"{words}."
    log_file(job_id).parent.mkdir(parents=True)
    log_file(job_id).write_text("first\nthe library gave up\n")
    played.process(job_id).end = End(words)
    played.step()
    job = played.job(job_id)
    assert (job.state, job.error) == ("failed", f"The job's process {words}; last output: the library gave up")
    assert job.finished >= job.started and not played.supervisor.handles


def test_as_many_jobs_run_at_once_as_there_are_slots_in_the_chosen_order(played, monkeypatch):
    first, second, third = (played.submit(spec(f"run {number}")) for number in range(3))
    played.step()
    assert states(played) == ["running", "queued", "queued"]
    played.move(third, later=False)
    assert [job.id for job in played.active()] == [first, third, second]
    for done in first, third, second:
        assert [job.id for job in played.active() if job.state == "running"] == [done]
        played.finish(done)
    assert states(played) == ["done"] * 3 and {job.attempts for job in played.jobs()} == {1}
    assert [job.id for job in played.jobs(2)] == [third, second]
    assert [job.id for job in played.ended(2)] == [second, third]
    monkeypatch.setenv("SLIMSCOPE_SLOTS", "2")
    played.submit_all([spec(f"later run {number}") for number in range(3)])
    played.step()
    assert states(played)[3:] == ["running", "running", "queued"]


def test_queued_jobs_move_within_the_queue(played):
    first, second, third = (played.submit(spec(f"run {number}")) for number in range(3))

    def moved(job_id, later):
        played.move(job_id, later)
        return [job.id for job in played.active()]

    assert moved(third, later=False) == [first, third, second]
    assert moved(first, later=True) == [third, first, second]
    assert moved(third, later=False) == moved(second, later=True) == [third, first, second]
    played.cancel(first)
    assert moved(second, later=False) == [second, third]  # past what waits, not past what was cancelled
    played.step()
    for gone in first, second:
        with pytest.raises(UserError, match=f"Job {gone} is no longer queued"):
            played.move(gone, later=True)


def test_all_jobs_are_cancelled_at_once(played):
    ids = [played.submit(spec(f"run {number}")) for number in range(3)]
    played.step()
    assert played.cancel_all() == 3
    assert states(played) == ["running", "cancelled", "cancelled"] and played.job(ids[0]).cancel
    assert [played.job(job_id).started is None for job_id in ids] == [False, True, True]
    first = played.job(ids[0]).cancel
    played.cancel(ids[0])  # no matter
    assert played.job(ids[0]).cancel == first
    played.process(ids[0]).end = End("ended with exit code 0")
    played.step()
    job = played.job(ids[0])
    assert (job.state, job.error) == ("cancelled", None)
    assert played.cancel_all() == 0 and not played.active()


@pytest.mark.parametrize(
    ("late", "halted", "orders"),
    [
        (0, False, []),
        (0, True, ["resume"]),  # so that it can notice
        (supervisor.GRACE_SECONDS + 5, False, []),  # it may save its weights
        (supervisor.GRACE_SECONDS + 5, True, ["kill"]),
        (supervisor.KILL_TIMES * supervisor.GRACE_SECONDS - 5, False, []),
        (supervisor.KILL_TIMES * supervisor.GRACE_SECONDS + 5, False, ["kill"]),
    ],
)
def test_a_cancelled_process_that_does_not_end_is_resumed_and_then_killed(played, store, late, halted, orders):
    job_id = played.begin()
    process = played.process(job_id)
    process.halted = halted
    played.step()
    assert process.orders == []  # a user may halt a process
    change(store, job_id, cancel=played.job(job_id).read - late)
    played.step()
    assert process.orders == orders and played.job(job_id).state == "running"
    change(store, job_id, state="done", cancel=None, finished=played.job(job_id).read - late)
    process.orders.clear()
    played.step()
    assert process.orders == orders  # so is one that does not end with its run


def test_a_process_that_waits_for_a_machine_keeps_its_lease(played, store):
    job_id = played.begin()
    process = played.process(job_id)
    process.machine = "2 cores"
    change(store, job_id, lease=1.0)
    played.step()
    job = played.job(job_id)
    assert (job.state, job.stage, job.detail) == ("running", "machine", "2 cores")
    assert job.lease > job.read and job.heartbeat
    played.cancel(job_id)
    played.step()
    assert played.job(job_id).state == "cancelled" and process.orders == ["kill"]


def test_a_run_queued_twice_runs_once(played):
    first = played.submit(spec("a"))
    assert played.submit(spec("a")) == first
    assert played.submit(spec("b")) != first
    played.cancel(first)
    again = played.retry(first)
    assert again != first and played.job(again).spec == spec("a")


def test_only_ended_jobs_can_be_retried_or_deleted(played):
    job_id = played.submit(spec("a"))
    with pytest.raises(UserError, match=f"Job {job_id} is queued; cancel it first"):
        played.delete(job_id)
    with pytest.raises(UserError, match="still active"):
        played.retry(job_id)
    played.cancel(job_id)
    log_file(job_id).parent.mkdir(parents=True, exist_ok=True)
    log_file(job_id).write_text("something")
    played.delete(job_id)
    assert played.jobs() == [] and log_tail(job_id, 1) == ""
    for call in (played.job, played.cancel, played.delete, played.retry):
        with pytest.raises(UserError, match=f"There is no job {job_id}"):
            call(job_id)
    assert played.submit(spec("a")) > job_id  # an id is never given twice


def test_a_process_that_cannot_be_started_fails_the_job(store):
    queue = Queue(store, Executor(store.url, ("/nonexistent/python",)))
    job_id = queue.submit(spec("a"))
    queue._supervisor.step()
    job = queue.job(job_id)
    assert (job.state, job.error) == ("failed", "The job's process did not start: No such file or directory.")


def test_only_one_of_two_supervisors_is_active(played, store):
    second = PlayedQueue(store, played.processes)
    played.start()
    second.start()
    try:
        job_id = second.submit(spec("a"))
        until(lambda: second.job(job_id).handle)
        one, other = (played, second) if played.supervisor.handles else (second, played)  # either may come first
        token = second.job(job_id).token
        assert (list(one.supervisor.handles), other.supervisor.handles) == ([token], {})
        one.stop()
        until(lambda: list(other.supervisor.handles) == [token])  # adopted, not started again
        assert len(played.processes) == 1 and other.job(job_id).attempts == 1
        one.supervisor.handles.clear()
        one.start()
        other.stop()
        until(lambda: one.supervisor.handles)  # a stopped queue can restart
    finally:
        second.stop()


def test_a_supervisor_reports_its_error_and_goes_on(played, monkeypatch, caplog):
    step, broken = played.supervisor.step, [UserError("The disk is full."), ValueError("odd")]
    problems = []

    def failing():
        problems.append(played.problem)
        if broken:
            raise broken.pop(0)
        step()

    monkeypatch.setattr(played.supervisor, "step", failing)
    played.start()
    job_id = played.submit(spec("a"))
    until(lambda: played.job(job_id).state == "running" and played.problem is None)
    failed = "The queue failed and will retry: "
    assert problems[:3] == [None, f"{failed}The disk is full.", f"{failed}ValueError: odd"]
    assert "The disk is full" in caplog.text


def test_an_idle_supervisor_sleeps_until_a_job_is_submitted(played, monkeypatch):
    for name in ("ACTIVE_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(supervisor, name, 3600)
    step, calls = played.supervisor.step, []
    monkeypatch.setattr(played.supervisor, "step", lambda: (calls.append(1), step()))
    played.start()
    until(lambda: calls)
    job_id = played.submit(spec("a"))  # wakes it
    until(lambda: played.job(job_id).handle)
    assert len(calls) <= 2


def test_a_read_only_results_folder_is_reported_until_writable(results_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_DB", f"sqlite:///{tmp_path / 'jobs.db'}")
    results_dir.write_text("a file where the folder belongs")
    queue = PlayedQueue(Store())
    queue.start()
    until(lambda: queue.problem)
    assert queue.problem == (
        f"The results folder {results_dir} is not writable (File exists), so no job starts; make it writable, or set "
        "SLIMSCOPE_RESULTS to another folder."
    )
    queue.start()  # no matter
    job_id = queue.submit(spec("a"))
    results_dir.unlink()
    until(lambda: queue.job(job_id).handle and queue.problem is None)
    queue.stop()
