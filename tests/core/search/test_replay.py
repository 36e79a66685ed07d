"""Searches replayed on the table of measured chains, which `benchmarks.search.replay_table` made."""

import numpy as np
import pytest

from benchmarks.search.autopilot import COLD, GREEDY, OURS, RANDOM, draw_budgets, read, replayed
from benchmarks.search.replay_table import DEFAULT_TABLE
from core.request.expected.size import predicted_size
from tests.core.search.spaces import SHAPE

MEASURED = read(DEFAULT_TABLE)
BUDGETS, SEEDS, TRIALS = 4, 3, 6


def test_sizes_of_the_table_are_predicted():
    for side in (MEASURED.space.blocks, MEASURED.space.tables):
        for part in side:
            size = predicted_size(SHAPE, part.stages)
            assert part.size.packed_bytes == pytest.approx(size.packed_bytes, rel=0.01)


def regrets(name):
    budgets = draw_budgets(MEASURED, BUDGETS, 0)
    return np.mean(
        [replayed(MEASURED, most, name, seed, TRIALS) for most in budgets for seed in range(SEEDS)], axis=0
    )  # (TRIALS,)


def test_a_search_is_better_than_random_and_no_worse_than_a_sum_of_effects():
    ours = regrets(OURS)
    by_chance = regrets(RANDOM)
    assert (ours < by_chance).all() and regrets(COLD)[-1] < by_chance[-1]
    assert (ours <= regrets(GREEDY) + 1e-9).all()
