"""The mean of several tasks: its p against every fall of the coins."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from core.analysis.paired import Difference, mean_difference, verdict
from core.errors import UserError
from tests.core.analysis.outcomes import answers, compared, losses

pytestmark = pytest.mark.filterwarnings("error")  # edge cases must not print any


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
