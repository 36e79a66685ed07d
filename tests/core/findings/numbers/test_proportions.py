"""The adjusted estimate of paired accuracies: how often intervals hold and tests err, over every outcome."""

import numpy as np
import pytest
from scipy.stats import binom, t

from core.findings.numbers.intervals import ALPHA
from core.findings.numbers.proportions import Counts, adjusted_mean


def outcomes(n, differing, share):
    """Return all counts of n documents (gained, lost), with the probability of each.

    `differing` is the share of documents on which the variants differ, `share` that of these which are gained.
    """
    gained, lost = (each.ravel() for each in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    gained, lost = gained[gained + lost <= n], lost[gained + lost <= n]
    return gained, lost, binom.pmf(gained + lost, n, differing) * binom.pmf(gained, gained + lost, share)


@pytest.mark.parametrize("n", [16, 40, 100])
@pytest.mark.parametrize("differing", [0.05, 0.1, 0.3, 0.7])
@pytest.mark.parametrize("share", [0.5, 0.6, 0.75, 0.95])
def test_interval_covers_the_true_difference_over_all_outcomes(n, differing, share):
    """At a share of 0.5 the variants are equal, so the error rate of the test is at most its nominal rate."""
    gained, lost, chance = outcomes(n, differing, share)
    found = np.array([adjusted_mean([Counts(int(g), int(b), n)]) for g, b in zip(gained, lost, strict=True)], float)
    mean, stderr, freedom = found.T
    off = np.abs(mean - differing * (2 * share - 1)) > t.ppf(1 - ALPHA / 2, freedom) * stderr
    assert chance.sum() == pytest.approx(1) and chance[off].sum() <= ALPHA


def test_one_document_has_no_error():
    mean, stderr, _ = adjusted_mean([Counts(1, 0, 1), Counts(5, 3, 40)])
    assert mean > 0 and stderr is None
