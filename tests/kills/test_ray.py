"""Works on a Ray cluster that kills interrupt."""

import pytest

from core.jobs.cluster import executor
from tests.core.jobs.cluster import cluster
from tests.kills.table import kills
from tests.kills.worker import WORKER
from tests.kills.world import check

pytestmark = [pytest.mark.full, pytest.mark.ray, pytest.mark.timeout(900)]
CASES = [
    pytest.param(kill, id=str(kill), marks=[pytest.mark.postgres] * (kill.store == "PostgreSQL"))
    for kill in kills()
    if kill.executor == "ray"
]


@pytest.fixture(scope="module")
def machines(place):
    """A cluster of one machine, whose jobs are made up."""
    with cluster(1) as found, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIMSCOPE_EXECUTOR", "ray")
        patch.setenv("RAY_ADDRESS", found.address)
        patch.setattr(executor.RayExecutor.__init__, "__defaults__", (WORKER,))
        yield found


@pytest.mark.parametrize("kill", CASES)
def test_a_work_on_a_cluster_that_a_kill_interrupts_has_the_numbers_of_an_undisturbed_one(kill, machines, world, draw):
    check(kill, world, draw)
