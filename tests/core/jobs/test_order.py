"""The order in which jobs wait, how it is changed by hand, and how all are cancelled."""

import pytest

from core.errors import UserError
from tests.core.fake_worker import gate
from tests.core.queues import ended, running, spec

pytestmark = pytest.mark.usefixtures("quick_supervisor")


def waiting(queue):
    return [job.id for job in queue.active() if job.state == "queued"]


def test_queued_jobs_move_within_the_queue(make_queue):
    queue = make_queue()
    first, second, third = (queue.submit(spec(f"wait {i}")) for i in range(3))
    queue.move(third, later=False)
    assert waiting(queue) == [first, third, second]
    queue.move(first, later=True)
    assert waiting(queue) == [third, first, second]
    queue.move(third, later=False)
    queue.move(second, later=True)
    assert waiting(queue) == [third, first, second]
    queue.cancel(first)
    queue.move(second, later=False)  # past what waits, not past what was cancelled
    assert waiting(queue) == [second, third]
    with pytest.raises(UserError, match=f"Job {first} is no longer queued"):
        queue.move(first, later=True)


def test_jobs_start_in_the_chosen_order(queue):
    ids = [queue.submit(spec(f"wait {i}")) for i in range(3)]
    running(queue, ids[0])
    with pytest.raises(UserError, match="is no longer queued"):
        queue.move(ids[0], later=True)
    queue.move(ids[2], later=False)
    assert [job.id for job in queue.active()] == [ids[0], ids[2], ids[1]]
    gate().touch()
    done = {job_id: ended(queue, job_id) for job_id in ids}
    assert done[ids[2]].finished <= done[ids[1]].started
    assert [job.id for job in queue.ended(2)] == [ids[1], ids[2]]


def test_all_jobs_are_cancelled_at_once(queue):
    ids = [queue.submit(spec(f"wait {i}")) for i in range(3)]
    running(queue, ids[0])
    assert queue.cancel_all() == 3
    assert {ended(queue, job_id).state for job_id in ids} == {"cancelled"}
    assert [queue.job(job_id).started is None for job_id in ids] == [False, True, True]
    assert queue.cancel_all() == 0 and not queue.active()
