"""Races: a worse chain loses early, and one that is as good seldom does."""

import math

import numpy as np
import pytest

from core.search.trials import FALSE, RUNGS, loses


@pytest.mark.parametrize("rung", RUNGS)
def test_a_much_worse_chain_loses_on_every_rung_and_an_equal_or_better_one_never(rung):
    assert loses(np.full(rung, 2.0) + np.linspace(-0.2, 0.2, rung), np.full(rung, 0.5))
    assert not loses(np.ones(rung), np.ones(rung))
    assert not loses(np.ones(rung), np.full(rung, 2.0))


def test_windows_that_disagree_or_a_diverged_best_keep_a_chain_in_the_race():
    assert not loses(np.array([0.4, -0.3]), np.zeros(2))
    assert not loses(np.array([0.02, 0.01]), np.zeros(2))
    assert not loses(np.ones(2), np.array([math.inf, 1.0]))
    assert loses(np.array([math.inf, 1.0]), np.ones(2)) and loses(np.array([math.nan, 1.0]), np.ones(2))


@pytest.mark.parametrize(("loss", "spread"), [(0.05, 0.005), (0.1, 0.02), (0.7, 0.1), (0.7, 0.05)])
def test_chains_that_are_as_good_lose_no_more_often_than_allowed(loss, spread):
    draw = np.random.default_rng(0)
    races = loss + draw.normal(0.0, spread, (4000, RUNGS[-1]))
    lost = np.mean([any(loses(race[:rung], np.full(rung, loss)) for rung in RUNGS) for race in races])
    assert lost <= FALSE


def test_a_best_chain_that_is_the_lowest_of_many_eliminates_equal_ones_more_often():
    races = 0.7 + np.random.default_rng(0).normal(0.0, 0.1, (2000, 21, RUNGS[-1]))  # a chain, and 20 to beat
    best = [others[others.mean(axis=1).argmin()] for others in races[:, 1:]]
    pairs = [*zip(races[:, 0], best, strict=True)]
    lost = np.mean([any(loses(one[:rung], low[:: 16 // rung]) for rung in RUNGS) for one, low in pairs])
    assert lost > 2 * FALSE
