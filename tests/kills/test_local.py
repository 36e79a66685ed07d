"""Works on this machine that kills interrupt."""

from collections import Counter

import pytest

from tests.kills.table import TARGETS, WORKS, kills
from tests.kills.world import check

CASES = [
    pytest.param(kill, id=str(kill), marks=[pytest.mark.postgres] * (kill.store == "PostgreSQL"))
    for kill in kills()
    if kill.executor != "ray"
]


def test_the_table_has_sixty_kills_and_at_least_four_of_each_target_and_work():
    every = list(kills())
    assert len(every) == 60
    for places, names in ((Counter(kill.target for kill in every), TARGETS), (Counter(k.work for k in every), WORKS)):
        assert set(places) == set(names) and min(places.values()) >= 4


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kill", CASES)
def test_a_work_that_a_kill_interrupts_has_the_numbers_of_an_undisturbed_one(kill, world, draw):
    check(kill, world, draw)
