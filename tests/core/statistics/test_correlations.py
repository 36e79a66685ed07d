"""The bundled correlations of window losses, and intervals with them on the bundled losses."""

import numpy as np
import pytest

from benchmarks.evaluation.coverage import judge, longest
from core.statistics.correlations import correlation_of, error_of, record
from core.statistics.longrun import autocorrelation, consecutive, independent, inflation
from core.store.bundled import read_measured


@pytest.fixture(scope="module")
def records():
    return {(one.text, one.window, one.of): one.series for one in longest(read_measured().results)}


def test_records_match_the_bundled_losses(records):
    assert len(records) >= 6
    for place, series in records.items():
        known = record(*place)
        assert known.windows == series.shape[1]  # else `benchmarks.evaluation.coverage --write` makes longer ones
        wanted = inflation(16, autocorrelation(series))
        assert inflation(16, known.correlation) == pytest.approx(wanted, rel=0.15)  # of more variants, it is another


@pytest.mark.parametrize(
    ("text", "window", "size", "most", "power"),
    [
        *(("wikitext2", 128, 16, 0.9, 0.4), ("ptb-valid", 128, 16, 0.9, 0.4)),
        *(("wikitext2", 2048, 4, 0.9, 0.4), ("wikitext2", 2048, 8, 0.9, 0.4)),
        ("ptb-valid", 2048, 4, 1.0, 0.3),  # whose windows hardly correlate
    ],
)
def test_intervals_cover_the_mean_in_92_to_98_percent_of_subsamples(records, text, window, size, most, power):
    used, before = judged(records, text, window, size)
    coverage, independent = (np.mean([one.coverage for one in each]) for each in (used, before))
    assert 0.92 <= coverage <= 0.98 and independent < min(most, coverage)
    assert np.mean([one.power for one in used]) > power


def judged(records, text, window, size):
    """Judge the intervals in use and those of independent windows, on the differences of each variant."""
    known = error_of(text, {"window": window, "windows": size}, "differences")
    series = records[text, window, "differences"]
    samples = [(np.lib.stride_tricks.sliding_window_view(one, size), one.mean(), one.std()) for one in series]
    return ([judge(*one, error) for one in samples] for error in (known, independent))


def test_texts_without_a_record_use_their_own_correlation():
    values = np.random.default_rng(0).standard_normal(16).cumsum()
    assert correlation_of("own.txt@12345678", {"window": 128, "windows": 16}, "losses") is None
    assert error_of("own.txt@12345678", {"window": 128, "windows": 16}, "losses")(values) == consecutive(values)


def test_spread_windows_correlate_by_their_distance():
    known, protocol = record("wikitext2", 128, "losses"), {"window": 128, "windows": 128, "spread": True}
    step = known.whole // 128
    assert step > 1
    assert correlation_of("wikitext2", protocol, "losses") == known.correlation[::step]
