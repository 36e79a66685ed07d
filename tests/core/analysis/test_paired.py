"""Paired differences: errors against a bootstrap, tests against their definitions, verdicts at the rate they state."""

import math
import subprocess
import sys
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as draw
from scipy.stats import binom, binomtest, ttest_rel

from core.analysis.paired import (
    ALPHA,
    Baselines,
    Difference,
    baselines,
    difference,
    holm,
    mean_difference,
    verdict,
)
from core.errors import UserError

pytestmark = pytest.mark.filterwarnings("error")  # edge cases must not print any

SEVEN_SIZES = (327, 184, 1004, 127, 238, 117, 50)  # the papers' tasks, a tenth of them
DRAWS = 4000


def frame(values, metric="acc", **columns):
    values = list(values)
    given = {"doc_id": range(len(values)), "target": [i % 2 for i in range(len(values))], metric: values}
    return pd.DataFrame(given | columns)


def windows(means, **columns):
    return pd.DataFrame({"doc_id": range(len(means)), "perplexity": means} | columns)


def answers(rng, n, gains=0.0):
    """Two variants' right answers (n,), alike where a document is easy or hard for both."""
    easy = rng.beta(1.5, 1.5, n) * (1 - gains)
    return (rng.random(n) < easy).astype(float), (rng.random(n) < easy + gains).astype(float)


def losses(rng, n, worse=0.0):
    """Two variants' log-likelihoods (n,), in which the text varies more than the variants do."""
    text = rng.normal(-3, 1, n)
    return text + rng.normal(0, 0.1, n), text + rng.normal(0, 0.1, n) - worse


def compared(metric, pair):
    make = windows if metric == "perplexity" else frame
    return difference(metric, make(pair[0]), make(pair[1]))


def resampled(rng, pair):
    """The two variants' means over DRAWS samples of the documents: (2, DRAWS)."""
    first, second = pair
    places = rng.integers(0, len(first), (DRAWS, len(first)))
    return np.stack([first[places].mean(1), second[places].mean(1)])


def false_alarms(rate, runs):
    """Return the most of `runs` that may be false alarms at a rate, three standard deviations above it."""
    return runs * rate + 3 * math.sqrt(runs * rate * (1 - rate))


@pytest.mark.parametrize(("metric", "make"), [("acc", answers), ("perplexity", losses)])
def test_the_standard_error_is_that_of_a_bootstrap_over_documents(metric, make):
    rng = np.random.default_rng(1)
    pair = make(rng, 400)
    first, second = resampled(rng, pair)
    found = compared(metric, pair)
    assert found.stderr == pytest.approx((second - first).std(), rel=0.05)
    assert found.stderr < 0.9 * math.hypot(first.std(), second.std())  # less than that of two samples


def test_the_standard_error_of_a_mean_of_seven_is_that_of_a_bootstrap_within_each_task():
    rng = np.random.default_rng(2)
    pairs = [answers(rng, n, gains=0.1) for n in SEVEN_SIZES]
    drawn = [resampled(rng, pair) for pair in pairs]
    found = mean_difference([compared("acc", pair) for pair in pairs])
    assert found.stderr == pytest.approx(np.mean([second - first for first, second in drawn], axis=0).std(), rel=0.05)
    assert found.difference == pytest.approx(np.mean([second.mean() - first.mean() for first, second in pairs]))
    assert found.n == sum(SEVEN_SIZES)


@pytest.mark.parametrize(("metric", "make"), [("acc", answers), ("perplexity", losses)])
def test_the_interval_holds_the_true_difference_as_often_as_it_says(metric, make):
    rng = np.random.default_rng(3)
    found = [compared(metric, make(rng, 200 if metric == "acc" else 16, 0.1)) for _ in range(300)]
    truth = 0.1
    held = np.mean([one.low <= truth <= one.high for one in found])
    assert held == pytest.approx(1 - ALPHA, abs=0.03)


def test_an_accuracy_counts_the_documents_that_one_variant_only_has_right():
    found = difference("acc", frame([1, 0, 0, 1, 0, 0]), frame([1, 1, 1, 0, 1, 0]))
    assert (found.n, found.gained, found.lost) == (6, 3, 1)
    assert found.difference == pytest.approx(2 / 6)
    assert found.stderr == pytest.approx(np.std([0, 1, 1, -1, 1, 0], ddof=1) / math.sqrt(6))
    assert found.high - found.difference == pytest.approx(2.5706 * found.stderr, rel=1e-4)  # t of 5 degrees
    assert found.ratio is None


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (3, 3), (5, 0), (0, 6), (2, 9), (40, 70), (300, 500)])
def test_p_of_an_accuracy_is_the_binomial_of_discordant_documents(gained, lost):
    first, second = [0] * gained + [1] * lost + [1, 1, 0], [1] * gained + [0] * lost + [1, 1, 0]
    found = difference("acc_norm", frame(first, "acc_norm"), frame(second, "acc_norm"))
    assert found.p == pytest.approx(binomtest(gained, gained + lost).pvalue if gained + lost else 1.0)
    flips = gained + lost
    tail = sum(math.comb(flips, heads) for heads in range(min(gained, lost) + 1)) / 2**flips
    assert found.p == pytest.approx(min(1.0, 2 * tail))


def test_perplexity_is_compared_by_losses_and_told_as_a_ratio():
    first, second = losses(np.random.default_rng(4), 16, worse=0.2)
    found = difference("perplexity", windows(first), windows(second))
    reference = ttest_rel(-second, -first)
    interval = reference.confidence_interval(0.95)
    assert (found.p, found.low, found.high) == pytest.approx((reference.pvalue, interval.low, interval.high))
    assert found.ratio == pytest.approx(math.exp(-second.mean()) / math.exp(-first.mean()))
    assert (found.ratio_low, found.ratio_high) == pytest.approx((math.exp(interval.low), math.exp(interval.high)))
    assert (found.gained, found.lost) == (None, None)


class TestMean:
    def test_of_tasks_of_one_size_p_is_mcnemar_of_all_documents(self):
        tasks = [Difference(n=100, difference=(g - b) / 100, gained=g, lost=b) for g, b in ((9, 4), (5, 5), (8, 1))]
        assert mean_difference(tasks).p == pytest.approx(binomtest(22, 32).pvalue)

    @pytest.mark.parametrize("sizes", [(16, 12), (500, 10042), (7, 9, 30)])
    def test_of_tasks_of_other_sizes_p_is_that_of_every_fall_of_the_coins(self, sizes):
        rng = np.random.default_rng(5)
        for _ in range(10):
            flips = rng.integers(0, 7, len(sizes))
            gained = rng.integers(0, flips + 1)
            pairs = zip(sizes, gained.tolist(), (flips - gained).tolist(), strict=True)
            found = mean_difference([Difference(n=n, difference=(g - b) / n, gained=g, lost=b) for n, g, b in pairs])
            expected = 0.0
            for heads in product(*(range(m + 1) for m in flips)):
                mean = np.mean((2 * np.array(heads) - flips) / sizes)
                if abs(mean) >= abs(found.difference) - 1e-12:
                    expected += np.prod(binom.pmf(heads, flips, 0.5))
            assert found.p == pytest.approx(expected)

    def test_of_large_tasks_of_other_sizes_p_is_near_that_of_a_normal_mean(self):
        counts = ((180, 120, 3270), (600, 500, 10042), (33, 30, 500))
        found = mean_difference([Difference(n=n, difference=(g - b) / n, gained=g, lost=b) for g, b, n in counts])
        variance = sum((g + b) / n**2 for g, b, n in counts)
        z = sum((g - b) / n for g, b, n in counts) / math.sqrt(variance)
        assert found.p == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.03)

    def test_p_belongs_to_the_mean_and_not_to_pooled_documents(self):
        small = Difference(n=50, difference=0.4, gained=20, lost=0)
        large = Difference(n=5000, difference=-0.004, gained=90, lost=110)
        found = mean_difference([small, large])
        assert found.difference == pytest.approx(0.198)
        assert (found.gained, found.lost) == (110, 110)
        assert found.p < 1e-4 and verdict(found, found.p) == "better"

    def test_of_one_task_is_that_task(self):
        found = compared("acc", answers(np.random.default_rng(6), 40))
        assert mean_difference([found]).model_dump() == pytest.approx(found.model_dump())

    def test_of_no_discordant_document_anywhere(self):
        tasks = [compared("acc", (np.ones(n), np.ones(n))) for n in (3, 5)]
        expected = {"difference": 0, "stderr": 0, "low": 0, "high": 0, "p": 1, "gained": 0, "lost": 0}
        assert mean_difference(tasks) == Difference(n=8, **expected)

    def test_has_no_interval_where_a_task_has_none(self):
        found = mean_difference([compared("acc", ([0], [1])), compared("acc", ([0, 1, 0], [1, 1, 0]))])
        assert (found.stderr, found.low, found.high, found.p) == (None, None, None, pytest.approx(0.5))

    def test_is_of_accuracies(self):
        with pytest.raises(UserError, match="Only differences of accuracies"):
            mean_difference([compared("perplexity", losses(np.random.default_rng(0), 4))])
        with pytest.raises(UserError, match="at least one"):
            mean_difference([])


class TestRates:
    """Of many simulated comparisons: what is planted is found, and what is not is told at the stated rate at most."""

    def test_a_planted_difference_is_found(self):
        rng = np.random.default_rng(7)
        for metric, make, n, size, said in (
            ("acc", answers, 400, 0.15, "better"),
            ("perplexity", losses, 16, 0.15, "worse"),
        ):
            found = [compared(metric, make(rng, n, size)) for _ in range(100)]
            assert sum(verdict(one, one.p) == said for one in found) >= 90

    def test_a_planted_difference_of_a_mean_is_found_after_holm(self):
        rng, right = np.random.default_rng(8), 0
        for _ in range(20):
            planted = (0.0, 0.15, 0.0)
            means = [mean_difference([compared("acc", answers(rng, n, g)) for n in SEVEN_SIZES]) for g in planted]
            said = [verdict(one, p) for one, p in zip(means, holm([one.p for one in means]), strict=True)]
            right += said[1] == "better"
        assert right >= 18

    @pytest.mark.parametrize(("metric", "make", "n"), [("acc", answers, 200), ("perplexity", losses, 16)])
    def test_of_no_difference_none_is_told(self, metric, make, n):
        rng, runs = np.random.default_rng(9), 500
        told = [compared(metric, make(rng, n)).p <= ALPHA for _ in range(runs)]
        assert sum(told) <= false_alarms(ALPHA, runs)
        assert sum(told) >= runs * ALPHA / 4  # a test that never tells anything would hold the rate, too

    def test_of_no_difference_of_a_mean_none_is_told(self):
        rng, runs, sizes = np.random.default_rng(10), 200, (60, 25, 11)
        told = [mean_difference([compared("acc", answers(rng, n)) for n in sizes]).p <= ALPHA for _ in range(runs)]
        assert runs * ALPHA / 4 <= sum(told) <= false_alarms(ALPHA, runs)

    def test_of_five_methods_without_a_difference_none_is_told_after_holm(self):
        rng, runs, alone, together = np.random.default_rng(11), 250, 0, 0
        for _ in range(runs):
            text = rng.normal(-3, 1, 16)
            dense, *methods = (windows(text + rng.normal(0, 0.1, 16)) for _ in range(6))
            found = [difference("perplexity", dense, method) for method in methods]
            p_values = [one.p for one in found]
            alone += any(p <= ALPHA for p in p_values)
            adjusted = holm(p_values)
            together += any(
                verdict(one, p) != "no difference can be told" for one, p in zip(found, adjusted, strict=True)
            )
        assert together <= false_alarms(ALPHA, runs) < alone


class TestEdges:
    def test_one_document_tells_nothing_of_the_spread(self):
        assert difference("acc", frame([0]), frame([1])) == Difference(n=1, difference=1, p=1, gained=1, lost=0)
        found = difference("perplexity", windows([-2.0]), windows([-3.0]))
        assert found == Difference(n=1, difference=1, ratio=math.e)

    def test_no_discordant_document(self):
        found = difference("acc", frame([1, 0, 1]), frame([1, 0, 1]))
        assert found == Difference(n=3, difference=0, stderr=0, low=0, high=0, p=1, gained=0, lost=0)

    def test_every_document_discordant_one_way(self):
        found = difference("acc", frame([1] * 10), frame([0] * 10))
        expected = {"difference": -1, "stderr": 0, "low": -1, "high": -1, "p": pytest.approx(2 / 2**10)}
        assert found.model_dump(include=set(expected)) == expected

    def test_equal_losses(self):
        found = difference("perplexity", windows([-1.0, -2.0]), windows([-1.0, -2.0]))
        assert found.model_dump(exclude_none=True) == {
            **{"n": 2, "difference": 0, "stderr": 0, "low": 0, "high": 0, "p": 1},
            **{"ratio": 1, "ratio_low": 1, "ratio_high": 1},
        }

    def test_losses_that_all_differ_by_the_same(self):
        found = difference("perplexity", windows([-1.0, -2.0, -4.0]), windows([-1.5, -2.5, -4.5]))
        assert (found.difference, found.stderr, found.low, found.high, found.p) == (0.5, 0, 0.5, 0.5, 0)

    @pytest.mark.parametrize(
        ("first", "second", "told", "said"),
        [
            ([-1, -2, -3], [-1, -math.inf, -3], (math.inf, math.inf), "worse"),
            ([-1, -math.inf, -3], [-1, -2, -3], (-math.inf, 0), "better"),
            ([-1, -math.inf, -3], [-1, -math.inf, -3], (math.nan, math.nan), "no difference can be told"),
            ([-1, -2, -3], [-1, math.nan, -3], (math.nan, math.nan), "no difference can be told"),
        ],
    )
    def test_losses_that_are_not_finite(self, first, second, told, said):
        found = difference("perplexity", windows(first), windows(second))
        assert (found.difference, found.ratio) == pytest.approx(told, nan_ok=True)
        assert (found.stderr, found.low, found.high, found.p) == (None, None, None, None)
        assert (found.ratio_low, found.ratio_high) == (None, None)
        assert verdict(found, found.p) == said

    def test_a_ratio_that_no_float_holds(self):
        found = difference("perplexity", windows([-1.0, -2.0]), windows([-900.0, -905.0]))
        assert found.ratio == found.ratio_high == math.inf and math.isfinite(found.high)

    def test_a_task_of_one_continuation_has_a_text_for_a_target(self):
        words = {"target": ["house", "dog", None]}
        first, second = (frame([-1, -2, last], "perplexity", **words) for last in (-3, -6))
        found = difference("perplexity", first, second)
        assert found.difference == pytest.approx(1)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (frame([1, 0]), "scored on 3 and 2 documents"),
        (frame([1, 0, 1], doc_id=[0, 2, 1]), "documents or windows differ"),
        (frame([1, 0, 1], target=[0, 1, 1]), "right answers differ"),
        (frame([1, 0, 1], target=[0, 1, None]), "right answers differ"),
        (frame([1, 0, 1]).drop(columns="target"), "right answers differ"),
        (frame([1, 0, 1], "acc_norm"), "must have acc"),
        (frame([1, 0, 0.5]), "not all 0 or 1"),
        (frame([1, 0, math.nan]), "not all 0 or 1"),
    ],
)
def test_other_documents_are_refused(second, reason):
    first = frame([1, 0, 1])
    for pair in ((first, second), (second, first)):
        with pytest.raises(UserError, match=reason.replace("3 and 2", r"\d and \d")):
            difference("acc", *pair)


def test_no_document_and_no_outcome_of_a_document_are_refused():
    with pytest.raises(UserError, match="no document"):
        difference("acc", frame([]), frame([]))
    with pytest.raises(UserError, match="'prefill' has no outcomes"):
        difference("prefill", frame([1], "prefill"), frame([1], "prefill"))


def test_an_index_or_a_type_makes_no_other_document():
    first, second = frame([1, 0, 1]), frame([0, 0, 1])
    expected = difference("acc", first, second)
    assert difference("acc", first.set_index(pd.Index([7, 8, 9])), second.astype({"target": "Int64"})) == expected


BITS = draw.lists(draw.tuples(draw.booleans(), draw.booleans()), min_size=1, max_size=60)
LOSSES = draw.lists(draw.tuples(draw.floats(-50, 0), draw.floats(-50, 0)), min_size=1, max_size=20)


def mirrored(one, other):
    """Whether each is the other with its variants swapped."""
    bounds = (None, None) if one.low is None else (-one.high, -one.low)
    same = (one.n, -one.difference, one.stderr, one.p, one.gained, one.lost, *bounds)
    return same == (other.n, other.difference, other.stderr, other.p, other.lost, other.gained, other.low, other.high)


@settings(max_examples=50)
@given(BITS, LOSSES)
def test_swapping_the_variants_negates_the_difference_and_keeps_p(bits, likelihoods):
    for metric, pairs in (("acc", bits), ("perplexity", likelihoods)):
        first, second = zip(*pairs, strict=True)
        one, other = compared(metric, (first, second)), compared(metric, (second, first))
        assert mirrored(one, other)
        assert one.low is None or one.low <= one.difference <= one.high
        assert one.p is None or 0 <= one.p <= 1
        assert {verdict(one, one.p), verdict(other, other.p)} in ({"better", "worse"}, {"no difference can be told"})


@settings(max_examples=25)
@given(draw.lists(BITS, min_size=1, max_size=4))
def test_swapping_the_variants_negates_a_mean_and_keeps_p(tasks):
    pairs = [tuple(zip(*bits, strict=True)) for bits in tasks]
    one = mean_difference([compared("acc", pair) for pair in pairs])
    assert mirrored(one, mean_difference([compared("acc", pair[::-1]) for pair in pairs]))
    assert one.low is None or one.low <= one.difference <= one.high
    assert 0 <= one.p <= 1


class TestHolm:
    def test_multiplies_by_how_many_are_left(self):
        assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])

    def test_what_has_no_p_counts_for_nothing(self):
        assert holm([None, 0.02, None, 0.5]) == [None, pytest.approx(0.04), None, pytest.approx(0.5)]
        assert holm([None]) == [None]
        assert holm([]) == []

    @given(draw.lists(draw.floats(0, 1), min_size=1, max_size=8))
    def test_never_makes_p_smaller_nor_changes_the_order(self, p_values):
        adjusted = holm(p_values)
        assert all(p <= more <= 1 for p, more in zip(p_values, adjusted, strict=True))
        assert all(more <= len(p_values) * p + 1e-12 for p, more in zip(p_values, adjusted, strict=True))
        in_order = [adjusted[i] for i in np.argsort(p_values, kind="stable")]
        assert in_order == sorted(adjusted)


@pytest.mark.parametrize(
    ("found", "p", "said"),
    [
        (Difference(n=9, difference=0.1), ALPHA, "better"),
        (Difference(n=9, difference=-0.1), 0.01, "worse"),
        (Difference(n=9, difference=-0.1, ratio=0.9), 0.01, "better"),
        (Difference(n=9, difference=0.1, ratio=1.1), 0.01, "worse"),
        (Difference(n=9, difference=0.1), 0.051, "no difference can be told"),
        (Difference(n=9, difference=0.1), None, "no difference can be told"),
        (Difference(n=9, difference=0.0), 0.0, "no difference can be told"),
        (Difference(n=9, difference=math.inf, ratio=math.inf), None, "worse"),
        (Difference(n=9, difference=math.nan, ratio=math.nan), None, "no difference can be told"),
    ],
)
def test_a_verdict_says_which_way_and_of_perplexity_lower_is_better(found, p, said):
    assert verdict(found, p) == said


class TestBaselines:
    def test_chance_is_of_each_documents_choices_and_the_majority_of_those_scored(self):
        choices = [[-1.0, -2.0, -3.0, -4.0], [-1.0, -2.0, -3.0], [-1.0, -2.0, -3.0, -4.0]]
        samples = frame([1, 0, 1], target=[2, 0, 2], loglikelihoods=choices)
        assert baselines(samples) == pytest.approx((5 / 18, 2 / 3))

    def test_read_from_a_file_they_are_the_same(self, tmp_path):
        samples = frame([1, 0, 1], loglikelihoods=[[-1.0, -2.0]] * 3)
        samples.to_parquet(tmp_path / "piqa.parquet")
        assert baselines(pd.read_parquet(tmp_path / "piqa.parquet")) == pytest.approx((1 / 2, 2 / 3))

    def test_one_continuation_or_none_has_neither(self):
        words = frame([0, 1], target=["house", "dog"], loglikelihoods=[[-1.0], [-2.0]])
        for samples in (words, words.iloc[:0], windows([-1.0, -2.0])):
            assert baselines(samples) == Baselines(None, None)


def test_importing_it_does_not_pay_for_statistics():
    code = "import sys, core.analysis.paired; sys.exit(bool({'scipy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
