"""An attempt at a job, run in this process: its ends, its cancellation, and the loss of its row."""

import os
import signal
import threading
import time
from contextlib import contextmanager

import pandas
import psutil
import pytest

from core.base.errors import MEMORY_RAN_OUT, CancelledError, LostJobError, UserError
from core.jobs import worker
from core.jobs.crash import record_crash
from core.jobs.executor import handle_text
from core.jobs.worker import Worker, work
from core.specs import RunSpec
from tests.core.factories import KEY, make, perplexity
from tests.core.queues import change, spec, until


class Attempt:
    """A claimed job."""

    def __init__(self, queue):
        self.queue, self.store = queue, queue.store
        self.id = queue.submit(spec("steps"))
        queue.step()
        self.token = self.row.token

    @property
    def row(self):
        return self.queue.job(self.id)

    def work(self, run, **how):
        code = work(self.store, self.id, self.token, run, **how)
        return code, self.row.state, self.row.error

    def worker(self):
        found = Worker(self.store, self.id, self.token)
        assert RunSpec.model_validate_json(found.take()) == spec("steps")
        return found


@pytest.fixture
def attempt(played, monkeypatch):
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.01)
    before = signal.getsignal(signal.SIGTERM)
    yield Attempt(played)
    for thread in threading.enumerate():  # before one interrupts this process
        if thread.name in ("heartbeat", "log"):
            thread.join()
    signal.signal(signal.SIGTERM, before)


def until_cancelled(progress):
    until(lambda: progress("train", 1, 4))  # which returns None


def test_an_attempt_writes_its_progress_and_its_end(attempt):
    change(attempt.store, attempt.id, handle=None, lease=1.0)
    seen = []

    def run(asked, store, progress):
        progress("prune", 1, 4, "block 1")
        seen.append((asked, attempt.row))
        until(lambda: attempt.row.heartbeat > seen[0][1].heartbeat)

    assert attempt.work(run) == (0, "done", None)
    ((asked, row),) = seen
    assert asked == spec("steps") and row.handle == handle_text(psutil.Process()) and row.machine == os.uname().nodename
    assert (row.stage, row.done, row.total, row.detail) == ("prune", 1, 4, "block 1")
    assert row.lease - row.read == pytest.approx(worker.LEASE_SECONDS, abs=5)
    assert row.started <= row.stage_started <= attempt.row.finished


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UserError("The corpus is too short."), 0, "The corpus is too short."),
        (ValueError("shapes differ\nand a second line"), 1, "ValueError: shapes differ"),
        (ValueError(), 1, "ValueError."),
        (MemoryError(), 1, MEMORY_RAN_OUT),
    ],
)
def test_a_failed_attempt_writes_its_error(attempt, error, code, words):
    def run(*_):
        raise error

    assert attempt.work(run) == (code, "failed", words)


def test_a_cancelled_run_stops_at_its_next_progress_and_keeps_its_best_weights(attempt):
    def run(asked, store, progress):
        attempt.queue.cancel(attempt.id)
        try:
            until_cancelled(progress)
        except CancelledError:
            signal.raise_signal(signal.SIGTERM)  # does not disturb it while it stores
            store.put(make(perplexity(10.0)))
            raise

    assert attempt.work(run) == (0, "cancelled", None)
    assert [row.value for row in attempt.store.get(KEY).measurements] == [10.0]


def test_a_cancelled_run_without_progress_is_interrupted_once(attempt, monkeypatch):
    monkeypatch.setattr(worker, "DEAF_SECONDS", 0.02)

    def run(asked, store, progress):
        attempt.queue.cancel(attempt.id)
        try:
            time.sleep(600)
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGTERM)
            store.put(make(perplexity(10.0)))
            raise

    assert attempt.work(run) == (0, "cancelled", None)
    assert [row.value for row in attempt.store.get(KEY).measurements] == [10.0]


def test_an_attempt_that_waits_for_another_run_states_it_and_can_be_cancelled(attempt, monkeypatch):
    @contextmanager
    def busy(on_wait):
        on_wait()
        assert (attempt.row.stage, attempt.row.detail) == ("waiting", "another run on this machine")
        attempt.queue.cancel(attempt.id)
        until(on_wait)
        yield

    monkeypatch.setattr(worker, "compute_lock", busy)
    assert attempt.work(lambda *_: pytest.fail("ran")) == (0, "cancelled", None)


def test_a_bound_attempt_has_its_place_and_ends_with_its_parent(attempt, monkeypatch):
    monkeypatch.setattr(worker, "compute_lock", lambda **_: pytest.fail("waited"))
    assert attempt.work(lambda *_: None, bound=True)[1] == "done"
    monkeypatch.setattr(worker, "end_now", lambda: 1 / 0)
    orphan = Worker(attempt.store, attempt.id, attempt.token, bound=True)
    assert orphan.parent == os.getppid()
    orphan.parent = 0
    with pytest.raises(ZeroDivisionError):
        orphan.beat()


@pytest.mark.parametrize("leads", [True, False])
def test_a_process_that_ends_by_force_ends_its_session(leads, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "getsid", lambda _: os.getpid() if leads else 0)
    monkeypatch.setattr(os, "killpg", lambda *what: calls.append(what))
    monkeypatch.setattr(os, "_exit", calls.append)
    worker.end_now()
    assert calls == [(0, signal.SIGKILL)] * leads + [1]


def test_a_process_that_lost_its_job_stops(attempt, monkeypatch):
    mine = attempt.worker()
    mine.progress("prune", 1, 2)
    mine.store.put(make(perplexity(20.0)))
    change(attempt.store, attempt.id, token="another")
    beating = threading.Thread(target=mine.beat)
    beating.start()
    until(lambda: mine._stop.is_set())
    with pytest.raises(CancelledError):
        mine.progress("prune", 2, 2)
    late, outcomes = make(perplexity(10.0)), pandas.DataFrame({"doc_id": [0], "perplexity": [1.0]})
    for write in (
        lambda: mine.store.put(late),
        lambda: mine.store.delete(KEY),
        lambda: mine.store.put_samples(KEY, late.measurements[0], outcomes),
    ):
        with pytest.raises(LostJobError):
            write()
    mine.end("done")
    beating.join()
    (kept,) = attempt.store.results()
    assert attempt.row.state == "running"  # what it writes no longer counts
    assert [row.value for row in kept.measurements] == [20.0]
    assert attempt.store.samples(KEY, kept.measurements[0]) is None


@pytest.mark.parametrize("reachable", [True, False])
def test_a_process_that_lost_its_job_and_does_not_stop_ends_by_force(attempt, monkeypatch, reachable):
    mine = attempt.worker()
    monkeypatch.setattr(worker, "LAST_SECONDS", 0.05)
    monkeypatch.setattr(worker, "LEASE_SECONDS", 3600 if reachable else 0.05)
    monkeypatch.setattr(worker, "end_now", lambda: 1 / 0)
    if reachable:
        change(attempt.store, attempt.id, token="another")
    else:
        monkeypatch.setattr(mine, "_write", lambda: "unknown")
    with pytest.raises(ZeroDivisionError):
        mine.beat()
    assert mine._stop.is_set()


def test_a_write_that_fails_does_not_end_the_run(attempt, monkeypatch):
    mine = attempt.worker()
    assert mine._write() == "held"

    def failing():
        raise UserError("The database is away.")

    with monkeypatch.context() as patch:
        patch.setattr(mine.store, "begin", failing)
        mine.progress("prune", 1, 2)
        assert mine._write() == "unknown"
    attempt.queue.cancel(attempt.id)
    assert mine._write() == "cancelled"


def test_a_process_of_an_earlier_attempt_does_not_take_the_job(attempt):
    attempt.token = "an earlier one"
    assert attempt.work(None) == (1, "running", None)


def test_progress_is_throttled_but_stages_are_written_at_once(attempt, monkeypatch):
    mine = attempt.worker()
    monkeypatch.setattr(worker, "PROGRESS_SECONDS", 3600)
    mine.progress("prune", 1, 9, "a")
    mine.progress("prune", 2, 9, "b")
    assert (attempt.row.done, attempt.row.detail) == (1, "a")
    mine.progress("evaluate", 1, 5)
    assert (attempt.row.stage, attempt.row.total, attempt.row.detail) == ("evaluate", 5, "")


def test_a_second_text_restarts_the_stage(attempt):
    mine = attempt.worker()
    mine.progress("perplexity", 0, 16, "a")
    change(attempt.store, attempt.id, stage_started=1.0)
    mine._written = -1e9
    mine.progress("perplexity", 16, 16, "a")
    assert (attempt.row.done, attempt.row.stage_started) == (16, 1.0)
    mine.progress("perplexity", 0, 16, "b")
    assert (attempt.row.done, attempt.row.detail) == (0, "b") and attempt.row.stage_started > 1.0


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({"attempts": 1}, "failed"),
        ({"cancel": 5.0}, "cancelled"),
        ({"lease": 1.0}, "running"),
        ({"token": "other"}, "running"),
    ],
)
def test_a_crash_is_written_into_the_row_of_its_attempt(attempt, values, state):
    change(attempt.store, attempt.id, **values)
    record_crash(attempt.store.url, attempt.id, attempt.token, "It crashed.")
    assert (attempt.row.state, attempt.row.error) == (state, None if state == "running" else "It crashed.")
