"""Searches replayed on the table of measured chains, which `benchmarks.search.replay_table` made."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.search.autopilot import COLD, GREEDY, OURS, RANDOM, draw_budgets, read, replayed
from benchmarks.search.replay_table import DEFAULT_TABLE
from core.request.expected.size import predicted_size
from core.search.prior import LEAST
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
    assert (ours <= regrets(GREEDY) + LEAST).all()  # smaller differences are the luck of few windows


def test_no_window_of_the_truth_is_read_by_a_search_or_its_prior():
    windows = MEASURED.windows(0)
    assert [len(each) for each in windows] == [6, 4, 6]
    assert sorted(np.concatenate(windows)) == list(range(16))
    worse = MEASURED.losses.copy()
    worse[..., windows.truth] += np.arange(len(MEASURED.space.blocks))[:, None, None]
    others = replace(MEASURED, losses=worse)
    most = float(MEASURED.space.sizes.max())
    first, second = (replayed(each, most, OURS, 0, 1) for each in (MEASURED, others))
    assert first != second  # the search chooses the same, and the truth judges it
