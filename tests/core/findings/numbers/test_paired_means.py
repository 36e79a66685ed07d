"""The mean of several tasks: its interval and p against what is known of the tasks."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from core.base.errors import UserError
from core.findings.numbers.intervals import ALPHA
from core.findings.numbers.paired import Difference, mean_difference
from core.findings.numbers.verdicts import verdict
from tests.core.findings.numbers.outcomes import answers, compared, losses

pytestmark = pytest.mark.filterwarnings("error")  # edge cases must not print any


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
            found = mean_difference(
                [
                    Difference(n=n, difference=(g - b) / n, gained=g, lost=b)
                    for (g, b), n in zip(counts, sizes, strict=True)
                ]
            )
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
