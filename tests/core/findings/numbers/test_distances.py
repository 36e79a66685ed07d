"""Intervals of the distance to the dense model, and paired differences of two such distances."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binomtest, ttest_rel

from core.base import paths
from core.base.errors import UserError
from core.evaluation.outcomes import fidelity
from core.findings.numbers.intervals import ALPHA, count_interval, interval
from core.findings.numbers.paired import difference, distance_interval
from core.findings.numbers.verdicts import verdict
from core.metrics import METRICS
from core.results import AGREEMENT, KL, KL_P99, Measurement
from core.statistics.correlations import RECORDS, VALUES, WIDENED, Record, largest_factor, widened
from core.statistics.longrun import consecutive

PROTOCOL = {"window": 24, "windows": 16, "dtype": "float32"}


def samples(kl, agreement):
    return pd.DataFrame({"doc_id": range(len(kl)), KL: kl, AGREEMENT: agreement})


def rows():
    draw = np.random.default_rng(5)
    tokens = draw.exponential(size=(16, 23))  # (windows, L - 1)
    frame = samples(tokens.mean(1), draw.uniform(0.9, 1, 16))
    text = Measurement(metric="perplexity", dataset="text.txt", value=9.0, n=16, protocol=PROTOCOL)
    return frame, {row.metric: row for row in fidelity(text, frame, torch.from_numpy(tokens))}


@pytest.mark.parametrize("metric", [KL, AGREEMENT])
def test_the_interval_follows_from_the_error_over_windows(metric):
    frame, found = rows()
    values = frame[metric].to_numpy()
    expected = interval(values.mean(), *widened(values, largest_factor(24, VALUES[metric], 16)))
    assert distance_interval(found[metric]) == pytest.approx(expected)
    assert found[metric].details["interval"] == WIDENED and "interval" not in found[KL_P99].details


def test_a_text_with_a_record_uses_its_correlation(tmp_path, monkeypatch):
    known = Record(text="text.txt", window=24, of="kl", variants=9, windows=64, whole=64, correlation=(1.0, 0.4))
    file = tmp_path / "correlations.json"
    file.write_bytes(RECORDS.dump_json((known,)))
    monkeypatch.setattr(paths, "CORRELATIONS", file)
    frame, found = rows()
    values = frame[KL].to_numpy()
    assert distance_interval(found[KL]) == pytest.approx(
        interval(values.mean(), *consecutive(values, known.correlation))
    )
    values = frame[AGREEMENT].to_numpy()  # the text has a record, but not of this quantity
    assert distance_interval(found[AGREEMENT]) == pytest.approx(interval(values.mean(), *consecutive(values)))


def test_intervals_stay_in_the_range_of_the_metric():
    _, found = rows()
    low, high = distance_interval(found[KL_P99])
    assert low <= found[KL_P99].value <= high
    _, found = rows()
    wide = {metric: row.model_copy(update={"stderr": 9.0}) for metric, row in found.items()}
    assert distance_interval(wide[KL])[0] == 0 and distance_interval(wide[AGREEMENT]) == (0, 1)
    assert distance_interval(found[KL].model_copy(update={"stderr": None})) == (None, None)
    for few in (0, 1):
        assert distance_interval(found[KL].model_copy(update={"n": few})) == (None, None)


def test_an_interval_of_very_many_windows_takes_no_memory():
    _, found = rows()
    many = found[KL].model_copy(update={"dataset": "text.txt@00000000", "n": 2**40})
    low, high = distance_interval(many)
    assert low < many.value < high


@pytest.mark.parametrize(("metric", "expected"), [(KL, "better"), (AGREEMENT, "worse")])
def test_lower_divergence_and_higher_agreement_are_better(metric, expected):
    draw = np.random.default_rng(6)
    first, shift = draw.uniform(0.4, 0.5, 16), draw.normal(-0.1, 0.01, 16)
    pair = samples(first, first), samples(first + shift, first + shift)
    found = difference(metric, *pair)
    assert found.p == pytest.approx(ttest_rel(first + shift, first).pvalue)
    assert found.ratio is None and found.gained is None and found.difference == pytest.approx(shift.mean())
    assert verdict(found, found.p, METRICS[metric].lower) == expected


def test_infinite_divergences_have_no_interval():
    finite, infinite = samples([0.1, 0.2], [1, 1]), samples([0.1, np.inf], [1, 0])
    found = difference(KL, finite, infinite)
    assert (found.difference, found.low, found.p) == (np.inf, None, None)
    assert verdict(found, found.p, lower_is_better=True) == "worse"


def test_a_metric_without_outcomes_names_those_that_have_some():
    with pytest.raises(UserError, match="choose acc, acc_norm, kl, agreement or perplexity"):
        difference(KL_P99, *(samples([0.1], [1]),) * 2)


@pytest.mark.parametrize(("count", "n"), [(0, 9), (3, 40), (40, 40)])
def test_the_interval_of_a_count_is_exact(count, n):
    expected = binomtest(count, n).proportion_ci(1 - ALPHA, method="exact")
    assert count_interval(count, n) == pytest.approx((n * expected.low, n * expected.high))
