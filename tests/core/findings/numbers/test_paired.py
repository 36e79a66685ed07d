"""Paired differences and their mean over tasks: tests against their definitions, edges, and both directions."""

import math
import subprocess
import sys
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as draw
from scipy.stats import binom, t, ttest_rel

from core.base.errors import UserError
from core.findings.numbers.intervals import ALPHA
from core.findings.numbers.paired import Counts, Difference, adjusted_mean, difference, mean_difference
from core.findings.numbers.verdicts import verdict
from tests.core.findings.numbers.outcomes import answers, compared, frame, losses, windows

pytestmark = pytest.mark.filterwarnings("error")  # edge cases must not print any


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (3, 3), (5, 0), (0, 6), (2, 9), (40, 70), (300, 500)])
def test_accuracy_test_adds_one_document_of_each_sign(gained, lost):
    """Bonett and Price's estimate is that of these documents, and interval and p are both of it."""
    first, second = [0] * gained + [1] * lost + [1, 1, 0], [1] * gained + [0] * lost + [1, 1, 0]
    found = difference("acc_norm", frame(first, "acc_norm"), frame(second, "acc_norm"))
    d = np.array([*np.subtract(second, first), 1, -1])
    stderr, freedom = d.std() / math.sqrt(len(d)), len(d) - 3
    half = t.ppf(1 - ALPHA / 2, freedom) * stderr
    expected = (stderr, d.mean() - half, d.mean() + half, 2 * t.sf(abs(d.mean()) / stderr, freedom))
    assert (found.stderr, found.low, found.high, found.p) == pytest.approx(np.clip(expected, -1, 1))


def test_perplexity_compares_losses_and_reports_a_ratio():
    first, second = losses(np.random.default_rng(4), 16, worse=0.2)
    found = difference("perplexity", windows(first), windows(second))
    reference = ttest_rel(-second, -first)
    interval = reference.confidence_interval(0.95)
    assert (found.p, found.low, found.high) == pytest.approx((reference.pvalue, interval.low, interval.high))
    assert found.ratio == pytest.approx(math.exp(-second.mean()) / math.exp(-first.mean()))
    assert (found.ratio_low, found.ratio_high) == pytest.approx((math.exp(interval.low), math.exp(interval.high)))
    assert (found.gained, found.lost) == (None, None)


class TestEdges:
    def test_one_document_and_no_or_only_discordant_ones(self):
        found = difference("acc", frame([0]), frame([1]))
        assert (found.difference, found.stderr, found.low, found.p, found.gained, found.lost) == (1, *[None] * 3, 1, 0)
        found = difference("perplexity", windows([-2.0]), windows([-3.0]))
        assert found == Difference(n=1, difference=1, ratio=math.e)
        found = difference("acc", frame([1, 0] * 50), frame([1, 0] * 50))
        assert (found.difference, found.p, found.gained, found.lost) == (0, 1, 0, 0)
        assert found.high == -found.low == pytest.approx(0.0275, abs=1e-4)  # 0 of 100 is no proof that all agree
        found = difference("acc", frame([1] * 10), frame([0] * 10))
        assert (found.difference, found.low) == (-1, -1) and -1 < found.high < -0.4 and found.p < 0.01

    def test_equal_losses(self):
        found = difference("perplexity", windows([-1.0, -2.0]), windows([-1.0, -2.0]))
        assert found.model_dump(exclude_none=True) == {
            **{"n": 2, "difference": 0, "stderr": 0, "low": 0, "high": 0, "p": 1},
            **{"ratio": 1, "ratio_low": 1, "ratio_high": 1},
        }

    def test_losses_with_a_constant_or_a_huge_difference(self):
        found = difference("perplexity", windows([-1.0, -2.0, -4.0]), windows([-1.5, -2.5, -4.5]))
        assert (found.difference, found.stderr, found.low, found.high, found.p) == (0.5, 0, 0.5, 0.5, 0)
        found = difference("perplexity", windows([-1.0, -2.0]), windows([-900.0, -905.0]))
        assert found.ratio == found.ratio_high == math.inf and math.isfinite(found.high)

    @pytest.mark.parametrize(
        ("first", "second", "estimates", "expected"),
        [
            ([-1, -2, -3], [-1, -math.inf, -3], (math.inf, math.inf), "worse"),
            ([-1, -math.inf, -3], [-1, -2, -3], (-math.inf, 0), "better"),
            ([-1, -math.inf, -3], [-1, -math.inf, -3], (math.nan, math.nan), "not significant"),
            ([-1, -2, -3], [-1, math.nan, -3], (math.nan, math.nan), "not significant"),
        ],
    )
    def test_losses_are_not_finite(self, first, second, estimates, expected):
        found = difference("perplexity", windows(first), windows(second))
        assert (found.difference, found.ratio) == pytest.approx(estimates, nan_ok=True)
        assert (found.stderr, found.low, found.high, found.p) == (None, None, None, None)
        assert (found.ratio_low, found.ratio_high) == (None, None)
        assert verdict(found, found.p, True) == expected

    def test_one_continuation_tasks_have_text_targets(self):
        words = {"target": ["house", "dog", None]}
        first, second = (frame([-1, -2, last], "perplexity", **words) for last in (-3, -6))
        found = difference("perplexity", first, second)
        assert found.difference == pytest.approx(1)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (frame([1, 0]), "scored on 3 and 2 documents"),
        (frame([1, 0, 1], doc_id=[0, 2, 1]), "documents or windows of the variants differ"),
        (frame([1, 0, 1], target=[0, 1, 1]), "correct answers of the variants differ"),
        (frame([1, 0, 1], target=[0, 1, None]), "correct answers of the variants differ"),
        (frame([1, 0, 1]).drop(columns="target"), "correct answers of the variants differ"),
        (frame([1, 0, 1], "acc_norm"), "no outcomes of acc"),
        (frame([1, 0, 0.5]), "not all 0 or 1"),
        (frame([1, 0, math.nan]), "not all 0 or 1"),
    ],
)
def test_different_documents_are_rejected(second, reason):
    first = frame([1, 0, 1])
    for pair in ((first, second), (second, first)):
        with pytest.raises(UserError, match=reason.replace("3 and 2", r"\d and \d")):
            difference("acc", *pair)


def test_missing_documents_and_outcomes_are_rejected():
    with pytest.raises(UserError, match="no document"):
        difference("acc", frame([]), frame([]))
    with pytest.raises(UserError, match="'prefill' has no outcomes"):
        difference("prefill", frame([1], "prefill"), frame([1], "prefill"))


def test_documents_match_whatever_the_index_or_type():
    first, second = frame([1, 0, 1]), frame([0, 0, 1])
    expected = difference("acc", first, second)
    assert difference("acc", first.set_index(pd.Index([7, 8, 9])), second.astype({"target": "Int64"})) == expected


BITS = draw.lists(draw.tuples(draw.booleans(), draw.booleans()), min_size=1, max_size=60)
LOSSES = draw.lists(draw.tuples(draw.floats(-50, 0), draw.floats(-50, 0)), min_size=1, max_size=20)


def mirrored(one, other):
    """Whether each is the other with its variants swapped."""
    bounds = (None, None) if one.low is None else (-one.high, -one.low)
    same = (one.n, -one.difference, one.stderr, one.p, *flips(one, "gained", "lost"), *bounds)
    found = (other.n, other.difference, other.stderr, other.p, *flips(other, "lost", "gained"), other.low, other.high)
    return same == found


def flips(found, *names):
    return [getattr(found, f"{name}{end}") for name in names for end in ("", "_low", "_high")]


@settings(max_examples=50)
@given(BITS, LOSSES)
def test_swapping_the_variants_negates_the_difference_and_keeps_p(bits, likelihoods):
    for metric, pairs in (("acc", bits), ("perplexity", likelihoods)):
        first, second = zip(*pairs, strict=True)
        one, other = compared(metric, (first, second)), compared(metric, (second, first))
        assert mirrored(one, other)
        assert one.low is None or one.low <= one.difference <= one.high
        assert one.p is None or 0 <= one.p <= 1
        lower = metric == "perplexity"
        both = {verdict(one, one.p, lower), verdict(other, other.p, lower)}
        assert both in ({"better", "worse"}, {"not significant"})


def test_import_loads_neither_scipy_nor_torch():
    code = "import sys, core.findings.numbers.paired; sys.exit(bool({'scipy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestMean:
    def test_equal_tasks_have_the_error_of_their_pooled_documents(self):
        one, whole = (Difference(n=100 * k, difference=0.05, gained=9 * k, lost=4 * k) for k in (1, 4))
        assert mean_difference([one] * 4).stderr == pytest.approx(mean_difference([whole]).stderr)

    @pytest.mark.parametrize("sizes", [(9, 6), (5, 5), (12, 4)])
    @pytest.mark.parametrize(("differing", "share"), [(0.3, 0.5), (0.6, 0.5), (0.6, 0.75)])
    def test_interval_covers_the_true_mean_over_all_outcomes(self, sizes, differing, share):
        """Of every outcome with its probability, not of a sample: no more than ALPHA miss."""
        held = total = 0.0
        for counts in product(*([(g, b) for g in range(n + 1) for b in range(n + 1 - g)] for n in sizes)):
            chance = 1.0
            for (gained, lost), n in zip(counts, sizes, strict=True):
                chance *= binom.pmf(gained + lost, n, differing) * binom.pmf(gained, gained + lost, share)
            pairs = zip(counts, sizes, strict=True)
            found = mean_difference([Difference(n=n, difference=(g - b) / n, gained=g, lost=b) for (g, b), n in pairs])
            total += chance
            held += chance * (found.low <= differing * (2 * share - 1) <= found.high)
        assert total == pytest.approx(1) and held >= 1 - ALPHA

    def test_large_tasks_have_nearly_the_p_of_a_normal_mean(self):
        counts = ((180, 120, 3270), (600, 500, 10042), (33, 30, 500))
        found = mean_difference([Difference(n=n, difference=(g - b) / n, gained=g, lost=b) for g, b, n in counts])
        variance = sum(((g + b) / n - ((g - b) / n) ** 2) / n for g, b, n in counts)
        z = sum((g - b) / n for g, b, n in counts) / math.sqrt(variance)
        assert found.p == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.03)

    def test_p_refers_to_the_mean_and_not_to_pooled_documents(self):
        small = Difference(n=50, difference=0.4, gained=20, lost=0)
        large = Difference(n=5000, difference=-0.004, gained=90, lost=110)
        found = mean_difference([small, large])
        assert found.difference == pytest.approx(0.198)
        assert (found.gained, found.lost) == (110, 110)
        assert found.p < 1e-4 and verdict(found, found.p) == "better"

    def test_edges(self):
        found = compared("acc", answers(np.random.default_rng(6), 40))
        assert mean_difference([found]).model_dump() == pytest.approx(found.model_dump())
        tasks = [compared("acc", (np.ones(n), np.ones(n))) for n in (3, 5)]
        found = mean_difference(tasks)
        assert (found.n, found.difference, found.p, found.gained, found.lost) == (8, 0, 1, 0, 0)
        assert found.low == -found.high < 0
        found = mean_difference([compared("acc", ([0], [1])), compared("acc", ([0, 1, 0], [1, 1, 0]))])
        assert (found.stderr, found.low, found.high, found.p) == (None, None, None, None)

    def test_only_accuracies_have_a_mean(self):
        with pytest.raises(UserError, match="Differences of perplexity have no mean"):
            mean_difference([compared("perplexity", losses(np.random.default_rng(0), 4))])
        with pytest.raises(UserError, match="at least one"):
            mean_difference([])


def all_outcomes(n, differing, share):
    """Return all counts of n documents (gained, lost), with the probability of each.

    `differing` is the share of documents on which the variants differ, `share` that of these which are gained.
    """
    gained, lost = (each.ravel() for each in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    gained, lost = gained[gained + lost <= n], lost[gained + lost <= n]
    return gained, lost, binom.pmf(gained + lost, n, differing) * binom.pmf(gained, gained + lost, share)


@pytest.mark.parametrize("n", [16, 40, 100])
@pytest.mark.parametrize("differing", [0.05, 0.1, 0.3, 0.7])
@pytest.mark.parametrize("share", [0.5, 0.6, 0.75, 0.95])
def test_interval_covers_the_true_difference_over_all_all_outcomes(n, differing, share):
    """At a share of 0.5 the variants are equal, so the error rate of the test is at most its nominal rate."""
    gained, lost, chance = all_outcomes(n, differing, share)
    found = np.array([adjusted_mean([Counts(int(g), int(b), n)]) for g, b in zip(gained, lost, strict=True)], float)
    mean, stderr, freedom = found.T
    off = np.abs(mean - differing * (2 * share - 1)) > t.ppf(1 - ALPHA / 2, freedom) * stderr
    assert chance.sum() == pytest.approx(1) and chance[off].sum() <= ALPHA


def test_one_document_has_no_error():
    mean, stderr, _ = adjusted_mean([Counts(1, 0, 1), Counts(5, 3, 40)])
    assert mean > 0 and stderr is None
