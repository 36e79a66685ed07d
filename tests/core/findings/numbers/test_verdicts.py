"""Verdicts of differences: Holm's adjustment, words, and baselines without a model."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as draw

from core.findings.numbers.intervals import ALPHA
from core.findings.numbers.paired import Baselines, Difference, baselines, mean_difference
from core.findings.numbers.verdicts import NOT_SIGNIFICANT, SIGNIFICANT, excludes_zero, holm, verdict
from tests.core.findings.numbers.outcomes import compared, frame, windows

pytestmark = pytest.mark.filterwarnings("error")  # edge cases must not print any


class TestHolm:
    def test_p_is_multiplied_by_the_remaining_comparisons(self):
        assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
        assert holm([None, 0.02, None, 0.5]) == [None, pytest.approx(0.04), None, pytest.approx(0.5)]
        assert holm([None]) == [None]
        assert holm([]) == []

    @given(draw.lists(draw.floats(0, 1), min_size=1, max_size=8))
    def test_p_never_falls_and_keeps_its_order(self, p_values):
        adjusted = holm(p_values)
        assert all(p <= more <= 1 for p, more in zip(p_values, adjusted, strict=True))
        assert all(more <= len(p_values) * p + 1e-12 for p, more in zip(p_values, adjusted, strict=True))
        in_order = [adjusted[i] for i in np.argsort(p_values, kind="stable")]
        assert in_order == sorted(adjusted)


@pytest.mark.parametrize(
    ("found", "p", "expected"),
    [
        (Difference(n=9, difference=0.1, low=0.01, high=0.2), ALPHA, "better"),
        (Difference(n=9, difference=-0.1, low=-0.2, high=-0.01), 0.01, "worse"),
        (Difference(n=9, difference=-0.1, low=-0.2, high=-0.01, ratio=0.9), 0.01, "better"),
        (Difference(n=9, difference=0.1, low=0.01, high=0.2, ratio=1.1), 0.01, "worse"),
        (Difference(n=9, difference=0.1, low=0.01, high=0.2), 0.051, "better alone, not after Holm"),
        (Difference(n=9, difference=0.1, low=0.01, high=0.2, ratio=1.1), 0.051, "worse alone, not after Holm"),
        (Difference(n=9, difference=0.1, low=0.0, high=0.2), 0.01, "not significant"),
        (Difference(n=9, difference=0.1, low=-0.01, high=0.2), 0.2, "not significant"),
        (Difference(n=9, difference=0.1), None, "not significant"),
        (Difference(n=9, difference=0.0, low=0.0, high=0.0), 0.0, "not significant"),
        (Difference(n=9, difference=math.inf, ratio=math.inf), None, "worse"),
        (Difference(n=9, difference=math.nan, ratio=math.nan), None, "not significant"),
    ],
)
def test_verdict_gives_the_direction_and_lower_perplexity_is_better(found, p, expected):
    assert verdict(found, p, found.ratio is not None) == expected


BITS = draw.lists(draw.tuples(draw.booleans(), draw.booleans()), min_size=1, max_size=60)
LOSSES = draw.lists(draw.tuples(draw.floats(-50, 0), draw.floats(-50, 0)), min_size=1, max_size=20)


@settings(max_examples=100)
@given(draw.lists(BITS, min_size=1, max_size=7), draw.lists(LOSSES, min_size=1, max_size=7))
def test_no_verdict_contradicts_its_interval(tasks, texts):
    """Whatever the outcomes: accuracies, their mean and losses, alone and adjusted for all of a family."""
    answered = [compared("acc", tuple(zip(*bits, strict=True))) for bits in tasks]
    read = [compared("perplexity", tuple(zip(*pairs, strict=True))) for pairs in texts]
    for family in ([*answered, mean_difference(answered)], read):
        for one, adjusted in zip(family, holm([one.p for one in family]), strict=True):
            outside = excludes_zero(one.low, one.high)
            assert (one.p is None) == (one.low is None)
            assert outside == (one.p is not None and one.p <= ALPHA)
            assert (verdict(one, one.p, family is read) in SIGNIFICANT) == outside
            outcome = verdict(one, adjusted, family is read)
            assert (outcome != NOT_SIGNIFICANT) == outside
            assert (outcome in SIGNIFICANT) == (outside and adjusted <= ALPHA)
            assert outcome == NOT_SIGNIFICANT or outcome.startswith("better") == (
                (one.difference < 0) == (one.ratio is not None)
            )


class TestBaselines:
    def test_chance_and_majority_use_the_scored_documents(self, tmp_path):
        choices = [[-1.0, -2.0, -3.0, -4.0], [-1.0, -2.0, -3.0], [-1.0, -2.0, -3.0, -4.0]]
        samples = frame([1, 0, 1], target=[2, 0, 2], loglikelihoods=choices)
        assert baselines(samples) == pytest.approx((5 / 18, 2 / 3))
        samples = frame([1, 0, 1], loglikelihoods=[[-1.0, -2.0]] * 3)
        samples.to_parquet(tmp_path / "piqa.parquet")
        assert baselines(pd.read_parquet(tmp_path / "piqa.parquet")) == pytest.approx((1 / 2, 2 / 3))

    def test_one_continuation_has_no_chance_and_no_majority(self):
        words = frame([0, 1], target=["house", "dog"], loglikelihoods=[[-1.0], [-2.0]])
        for samples in (words, words.iloc[:0], windows([-1.0, -2.0])):
            assert baselines(samples) == Baselines(None, None)
