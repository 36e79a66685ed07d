"""The bundled correlations of window losses, and intervals with them on the bundled losses."""

import math
from functools import partial

import numpy as np
import pytest

from benchmarks.evaluation.coverage import judge, longest
from core.statistics.correlations import (
    correlation_of,
    error_of,
    interval_note,
    largest_factor,
    record,
    widened,
    widening,
)
from core.statistics.longrun import autocorrelation, consecutive, independent, inflation
from core.store.bundled import read_measured

OWN = "own.txt@12345678"


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


@pytest.mark.parametrize("text", ["wikitext2", "ptb-valid"])
@pytest.mark.parametrize("of", ["losses", "differences"])
def test_intervals_of_texts_without_a_record_cover_the_mean_in_95_percent_of_subsamples(records, text, of):
    covered = []
    for size in (16, 32):
        error = partial(widened, factor=largest_factor(128, of, size, without=text))
        for one in records[text, 128, of]:
            covered.append(judge(np.lib.stride_tricks.sliding_window_view(one, size), one.mean(), one.std(), error))
    assert np.mean([one.coverage for one in covered]) >= 0.95


def test_few_windows_of_a_text_without_a_record_are_widened_by_the_largest_factor():
    values, protocol = np.random.default_rng(0).standard_normal(16).cumsum(), {"window": 128, "windows": 16}
    assert correlation_of(OWN, protocol, "losses") is None
    factors = [inflation(16, record(text, 128, "losses").correlation) for text in ("wikitext2", "ptb-valid")]
    error, cosines = error_of(OWN, protocol, "losses")(values), consecutive(values)
    assert error == (pytest.approx(cosines.value * math.sqrt(max(factors))), cosines.freedom)
    assert interval_note(OWN, protocol, "losses", 16) == {"interval": "widened: no record of this text"}
    other = {"window": 512, "windows": 16}  # of which there is no record: those of any length count
    assert widening(OWN, other, "losses", 16) == widening("wikitext2", other, "losses", 16) == max(factors)
    assert widening("wikitext2", protocol, "losses", 16) == widening("wikitext2", protocol, "kl", 16) == 1
    assert interval_note("wikitext2", protocol, "losses", 16) == {}


@pytest.mark.parametrize(("window", "n"), [(2048, 64), (128, 1024)])
def test_many_windows_of_a_text_are_its_own_record(window, n):
    values, protocol = np.random.default_rng(0).standard_normal(n + 4), {"window": window, "windows": None}
    values = sum(values[lag : n + lag] for lag in range(5))  # neighbours share four of five draws
    found = error_of(OWN, protocol, "losses")(values)
    assert found == consecutive(values, autocorrelation(values[None]).tolist())
    assert interval_note(OWN, protocol, "losses", n) == {} != interval_note(OWN, protocol, "losses", n - 1)
    for odd in (np.where(values > 2, np.inf, values), np.ones(n), np.tile([1.0, -1.0], n // 2)):
        assert error_of(OWN, protocol, "losses")(odd).value in (None, 0, pytest.approx(independent(odd).value or 0))


def test_spread_windows_correlate_by_their_distance():
    known, protocol = record("wikitext2", 128, "losses"), {"window": 128, "windows": 128, "spread": True}
    step = known.whole // 128
    assert step > 1
    assert correlation_of("wikitext2", protocol, "losses") == known.correlation[::step]
