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


def test_coverage_needs_the_two_added_documents():
    """Why the estimate is adjusted: of 100 documents 5 differ, nearly all the same way."""
    gained, lost, chance = outcomes(100, 0.05, 0.95)
    mean = (gained - lost) / 100
    stderr = np.sqrt(((gained + lost) / 100 - mean**2) / 99)
    assert chance[np.abs(mean - 0.045) > t.ppf(1 - ALPHA / 2, 99) * stderr].sum() > 0.07


def test_one_document_has_no_error():
    mean, stderr, _ = adjusted_mean([Counts(1, 0, 1), Counts(5, 3, 40)])
    assert mean > 0 and stderr is None


def test_equal_means_of_seven_differ_at_the_nominal_rate():
    rng, runs, sizes = np.random.default_rng(12), 2000, (100, 100, 60, 40, 100, 30, 50)
    differing = rng.binomial(sizes, 0.2, (runs, 7))
    gained = rng.binomial(differing, 0.5)
    alarms = 0
    for ups, all_of_them in zip(gained.tolist(), differing.tolist(), strict=True):
        tasks = [Counts(up, every - up, n) for up, every, n in zip(ups, all_of_them, sizes, strict=True)]
        mean, stderr, freedom = adjusted_mean(tasks)
        alarms += 2 * t.sf(abs(mean) / stderr, freedom) <= ALPHA
    assert 0.03 <= alarms / runs <= 0.065
