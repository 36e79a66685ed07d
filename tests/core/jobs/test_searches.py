"""Searches and their trials in the queue, without processes."""

import psutil
import pytest

from core.jobs.executor import handle_text
from core.jobs.kinds import QUESTION, SEARCH, TRIAL
from core.jobs.own import own_job
from core.jobs.queue import insert_job
from tests.core.queues import PlayedHandle, change, spec


@pytest.fixture
def search(played):
    """The id of a search that runs."""
    job_id = played.store.transact(lambda connection: insert_job(connection, SEARCH, "{}"))
    played.step()
    assert played.state(job_id) == "running"
    return job_id


def trial_of(queue, search):
    queue.processes[handle_text(psutil.Process())] = PlayedHandle(handle_text(psutil.Process()))
    return own_job(queue.store, TRIAL, spec("a").model_dump_json(), search)


def test_a_run_has_the_slot_beside_a_search_and_its_trial(played, search):
    with trial_of(played, search):
        first, second = played.submit(spec("b")), played.submit(spec("c"))
        played.step()
        assert [played.state(one) for one in (first, second)] == ["running", "queued"]


def test_a_trial_is_listed_with_its_search_only_and_deleted_with_it(played, search):
    with trial_of(played, search) as worker:
        trial = worker.job_id
        assert [work.id for work in played.works()] == [search] and played.jobs() == []
    assert played.state(trial) == "done"
    change(played.store, search, state="done")
    played.delete(search)
    assert played.works() == []
    with pytest.raises(Exception, match=f"There is no job {trial}"):
        played.state(trial)


def test_a_process_is_not_killed_for_a_trial_that_ended_or_is_cancelled(played, search):
    with trial_of(played, search) as worker:
        played.step()
        process = played.processes[handle_text(psutil.Process())]
        assert worker.token in played.supervisor.searches
        change(played.store, worker.job_id, cancel=1.0)
        played.step()
    change(played.store, worker.job_id, finished=1.0)
    played.step()
    assert process.orders == [] and worker.token not in played.supervisor.searches


@pytest.mark.parametrize("kind", [TRIAL, QUESTION])
def test_a_trial_or_question_without_its_process_has_failed_but_a_search_is_queued_again(kind, played, search):
    trial = played.store.transact(lambda connection: insert_job(connection, kind, "{}", parent=search))
    for job_id in (search, trial):
        change(played.store, job_id, state="running", token=f"t{job_id}", handle="this 7 1.0", lease=1.0, attempts=1)
    played.step()
    assert (played.state(search), played.state(trial)) == ("running", "failed")
    (again,) = played.works()
    assert again.attempts == 2  # queued, and started again at once


def test_a_search_of_another_machine_stays_queued(played, search):
    change(played.store, search, state="queued", token=None, host="another-machine")
    played.step()
    assert played.state(search) == "queued"
