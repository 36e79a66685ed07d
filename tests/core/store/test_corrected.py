"""Standard errors that were stored as of independent windows, read as what they are."""

import math

import pytest

from core.correlations import record
from core.longrun import inflation
from core.store.corrected import corrected
from core.store.store import Store
from tests.core.factories import KEY, make, perplexity

LARGER = inflation(16, record("wikitext2", 2048, "losses").correlation)


def read(row):
    return corrected(make(row)).measurements[0]


def test_the_windows_of_a_text_with_a_record_are_no_longer_independent(results_dir):
    store = Store()
    store.put(make(perplexity(20.0, stderr=0.5)))
    (row,) = store.get(KEY).measurements
    assert LARGER > 1.3
    assert (row.stderr, row.inflation) == pytest.approx((0.5 * math.sqrt(LARGER), LARGER))
    store.put(store.get(KEY))
    assert store.get(KEY).measurements == (row,)


def test_a_row_that_an_earlier_record_widened_is_widened_by_this_one():
    assert read(perplexity(20.0, stderr=1.0, inflation=4.0)).stderr == pytest.approx(0.5 * math.sqrt(LARGER))


@pytest.mark.parametrize(
    "row",
    [
        perplexity(20.0, dataset="own.txt@12345678", stderr=0.5),
        perplexity(20.0),
        perplexity(20.0, window=512, stderr=0.5),
    ],
)
def test_all_other_rows_stay_as_they_are(row):
    assert read(row) == row
