"""The additive rule: its prediction and its interval."""

import math

import numpy as np
import pytest
from scipy.special import stdtrit

from core.analysis.additive import FEWEST, RuleError, predicted

ERRORS = (0.01, -0.02, 0.03, 0.0, 0.015, 0.02)


def test_effects_on_the_loss_add_up():
    loss = math.log(20.0) + (math.log(26.0) - math.log(20.0)) + (math.log(22.0) - math.log(20.0))
    assert predicted(26.0, 22.0, 20.0) == pytest.approx(math.exp(loss))


def test_the_interval_is_that_of_the_errors_and_of_their_mean():
    low, high = RuleError(ERRORS).interval(1.3)
    half = stdtrit(len(ERRORS) - 1, 0.975) * np.sqrt(np.mean(np.square(ERRORS)))
    assert (math.log(low), math.log(high)) == pytest.approx((math.log(1.3) - half, math.log(1.3) + half))
    biased = RuleError(tuple(error + 0.1 for error in ERRORS)).interval(1.3)
    assert biased[0] < low and biased[1] > 1.3 * math.exp(0.1)
    assert RuleError(ERRORS[: FEWEST - 1]).interval(1.3) == (None, None)
    assert RuleError().spread is None and RuleError(ERRORS[:FEWEST]).spread is not None


def test_new_errors_of_the_same_kind_lie_in_the_interval_as_often_as_it_claims():
    draws = np.random.default_rng(0).normal(0, 0.05, (2000, 7))
    inside = []
    for *known, new in draws:
        low, high = RuleError(tuple(known)).interval(1.0)
        inside.append(low <= math.exp(new) <= high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)
