"""Searches in processes of their own, which are killed, cancelled, and seen by a later supervisor."""

import sys

import pytest

from core.jobs.executor import Executor, find_process
from core.jobs.kinds import SEARCH, TRIAL
from core.jobs.queue import Queue
from core.search.record import states
from core.search.session import start
from core.store.store import Store
from core.store.tables import jobs
from tests.core.queues import until
from tests.core.search.texts import question

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("tiny_texts", "quick_supervisor"), pytest.mark.timeout(300)]
SEARCHER = (sys.executable, "-m", "tests.core.search.fake_searcher")
ASKED = question(minutes=0.1)


def supervised():
    found = Queue(Store())
    found._supervisor.light = Executor(found.store.url, SEARCHER)
    found.start()
    return found


@pytest.fixture
def queue():
    found = supervised()
    yield found
    found.cancel_all()
    until(lambda: not any(work.active for work in found.works()))
    found.stop()


def state():
    (found,) = states(Store())
    return found


def begun(queue):
    """Start a search, and return its job once a trial has an outcome."""
    start(ASKED, queue)
    until(lambda: state().tried, 120)
    return state().job


def rows(queue, job_id):
    with queue.store.begin() as connection:
        return connection.execute(jobs.select().where(jobs.c.parent == job_id)).all()


def ended(queue, job_id):
    until(lambda: queue.state(job_id) not in ("queued", "running"), 120)
    return queue.state(job_id)


def test_a_killed_search_goes_on_with_its_numbers_when_it_is_repeated(queue):
    job_id = begun(queue)
    (work,) = queue.works([SEARCH])
    find_process(work.handle).kill()
    assert ended(queue, job_id) == "failed"
    before = state()
    assert "was killed (SIGKILL)" in before.problem and not before.alive and before.certificate is None
    until(lambda: all(row.state not in ("queued", "running") for row in rows(queue, job_id)))
    again = queue.retry(job_id)
    assert ended(queue, again) == "done"
    after = state()
    assert after.tried[: len(before.tried)] == before.tried and after.certificate and not after.problem
    chains = [one.chain for one in after.tried]
    assert len(set(chains)) == len(chains)


def test_a_search_outlives_the_supervisor_and_has_another_one(queue):
    job_id = begun(queue)
    queue.stop()
    later = supervised()
    try:
        assert ended(later, job_id) == "done" and state().certificate
    finally:
        later.stop()
    (work,) = queue.works([SEARCH])
    assert work.attempts == 1 and {row.kind for row in rows(queue, job_id)} == {TRIAL}


def test_a_cancelled_search_ends_with_its_trial(queue):
    job_id = begun(queue)
    queue.cancel(job_id)
    assert ended(queue, job_id) == "cancelled"
    assert {row.state for row in rows(queue, job_id)} <= {"done", "cancelled"}
    assert state().tried and state().certificate is None and not state().alive
