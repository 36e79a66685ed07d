"""Standard errors that were stored as of independent windows, read as what they are."""

import math

import pytest

from core.statistics.correlations import WIDENED, largest_factor, record
from core.statistics.longrun import inflation
from core.store.rows import corrected
from core.store.store import Store
from tests.core.factories import KEY, make, perplexity

OWN = "own.txt@12345678"
LARGER = inflation(16, record("wikitext2", 2048, "losses").correlation)


def read(row):
    return corrected(make(row)).measurements[0]


def test_texts_with_a_record_have_correlated_windows(results_dir):
    store = Store()
    store.put(make(perplexity(20.0, stderr=0.5)))
    (row,) = store.get(KEY).measurements
    assert LARGER > 1.3
    assert (row.stderr, row.inflation) == pytest.approx((0.5 * math.sqrt(LARGER), LARGER))
    store.put(store.get(KEY))
    assert store.get(KEY).measurements == (row,)


def test_rows_widened_by_an_earlier_record_use_the_current_one():
    assert read(perplexity(20.0, stderr=1.0, inflation=4.0)).stderr == pytest.approx(0.5 * math.sqrt(LARGER))


def test_rows_of_texts_without_a_record_are_widened_once():
    factor = largest_factor(2048, "losses", 16)
    row = read(perplexity(20.0, dataset=OWN, stderr=0.5, inflation=4.0, details={"seconds": 1.0}))
    assert (row.stderr, row.inflation) == pytest.approx((0.5 * math.sqrt(factor), 4 * factor))
    assert row.details == {"seconds": 1.0, "interval": WIDENED}
    assert read(row) == row
    known = read(row.model_copy(update={"dataset": "wikitext2"}))  # as if its record were new
    assert (known.stderr, known.inflation, known.details) == (
        pytest.approx(row.stderr * math.sqrt(LARGER / row.inflation)),
        LARGER,
        {"seconds": 1.0},
    )


def test_other_rows_do_not_change():
    for row in (perplexity(20.0, dataset=OWN, windows=64, stderr=0.5, inflation=4.0), perplexity(20.0)):
        assert read(row) == row
