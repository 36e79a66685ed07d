"""Standard errors of means of consecutive values: their intervals have the nominal coverage."""

import math

import numpy as np
import pytest

from core.findings.numbers.intervals import interval
from core.statistics.longrun import autocorrelation, consecutive, independent, inflation

pytestmark = pytest.mark.filterwarnings("error")
RUNS = 3000
CORRELATIONS = (0.0, 0.3, 0.5)


def ar1(draw, rho, series, n):
    """Return normal series (series, n) of variance 1."""
    values = np.empty((series, n))
    values[:, 0] = draw.standard_normal(series)
    for place in range(1, n):
        values[:, place] = rho * values[:, place - 1] + math.sqrt(1 - rho**2) * draw.standard_normal(series)
    return values


def held(samples, error):
    """Return the share of the samples (m, n) of mean 0 whose interval holds 0."""
    ends = [interval(float(one.mean()), *error(one)) for one in samples]
    return np.mean([low <= 0 <= high for low, high in ends])


@pytest.mark.parametrize("rho", CORRELATIONS)
@pytest.mark.parametrize("n", [16, 64])
class TestCoverage:
    """Nominal 95 % intervals of AR(1) series cover between 92 and 98 %."""

    def test_with_the_autocorrelation_of_a_record(self, rho, n):
        draw = np.random.default_rng(1)
        shares = []
        for _ in range(20):
            known = autocorrelation(ar1(draw, rho, 4, 128))
            shares.append(held(ar1(draw, rho, RUNS // 20, n), lambda one, known=known: consecutive(one, known)))
        assert 0.92 <= np.mean(shares) <= 0.98

    def test_without_a_record(self, rho, n):
        assert 0.92 <= held(ar1(np.random.default_rng(2), rho, RUNS, n), consecutive) <= 0.98

    def test_independent_intervals_cover_only_independent_values(self, rho, n):
        share = held(ar1(np.random.default_rng(3), rho, RUNS, n), independent)
        assert 0.92 <= share <= 0.98 if rho == 0 else share < 0.9


def test_a_record_detects_more_than_no_record():
    draw = np.random.default_rng(4)
    known = 0.3 ** np.arange(10)
    samples = ar1(draw, 0.3, 500, 16) + 1.0
    found = [1 - held(samples, error) for error in (lambda one: consecutive(one, known), consecutive)]
    assert found[0] > found[1] + 0.1 > 0.6


class TestAutocorrelation:
    def test_autocorrelation_is_corrected_for_estimated_means_and_ends_at_the_noise_level(self):
        series = ar1(np.random.default_rng(5), 0.5, 2000, 32)
        centred = series - series.mean(1, keepdims=True)
        naive = (centred[:, 1:] * centred[:, :-1]).sum() / (centred**2).sum()
        found = autocorrelation(series)
        assert found[0] == 1
        assert naive < 0.44 < 0.46 < found[1] < 0.54
        assert len(autocorrelation(ar1(np.random.default_rng(6), 0.0, 4, 512))) < 30


class TestConsecutive:
    def test_a_known_correlation_gives_an_unbiased_error(self):
        known = 0.5 ** np.arange(40)
        samples = ar1(np.random.default_rng(7), 0.5, 4000, 12)
        found = np.mean([consecutive(one, known).value ** 2 for one in samples])
        assert found == pytest.approx(samples.mean(1).var(), rel=0.06)

    def test_no_or_a_negative_correlation_gives_the_error_of_independent_values(self):
        values = np.random.default_rng(8).standard_normal(20)
        assert consecutive(values, [1.0]) == pytest.approx(independent(values))
        assert inflation(20, [1.0]) == 1
        values = np.random.default_rng(9).standard_normal(20)
        assert consecutive(values, [1.0, -0.4]).value == pytest.approx(independent(values).value)
        values = np.array([1.0, 4.0])
        assert consecutive(values) == pytest.approx(independent(values))
        assert inflation(10**12, [1.0, 0.5, 0.3]) == pytest.approx(2.6)

    @pytest.mark.parametrize("values", [[], [1.0], [1.0, math.inf], [1.0, math.nan, 2.0]])
    def test_too_few_or_infinite_values_have_no_error(self, values):
        assert consecutive(np.array(values)).value is None
        assert consecutive(np.array(values), [1.0, 0.3]).value is None

    def test_constant_values_have_an_error_of_0(self):
        assert consecutive(np.full(5, 0.1)).value == consecutive(np.full(5, 0.1), [1.0, 0.3]).value == 0

    @pytest.mark.parametrize("n", [3, 4, 7, 8, 9, 40])
    def test_the_degrees_of_freedom_equal_those_of_the_whole_matrix(self, n):
        known = [1.0, 0.5, 0.3, 0.1][:n]
        row = np.zeros(n)
        row[: len(known)] = known
        centred = (np.eye(n) - 1 / n) @ row[np.abs(np.subtract.outer(np.arange(n), np.arange(n)))]
        found = consecutive(np.arange(n, dtype=float), known)
        assert found.freedom == pytest.approx(np.trace(centred) ** 2 / np.trace(centred @ centred), rel=1e-12)
        assert found.value**2 == pytest.approx(
            np.arange(n).var(ddof=1) * (n - np.trace(centred)) * (n - 1) / np.trace(centred) / n, rel=1e-12
        )
