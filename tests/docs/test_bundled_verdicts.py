"""Every bundled row: no verdict contradicts its interval, and few-shot changes are judged in the same way."""

import pandas as pd
import pytest

from core.findings.numbers.differences import differences_to_dense
from core.findings.numbers.fewshot import fewshot_table
from core.findings.numbers.intervals import ALPHA
from core.findings.numbers.reporting import verdict_text
from core.findings.numbers.seven import ABOVE_CHANCE
from core.findings.numbers.verdicts import ALONE, NOT_SIGNIFICANT, SIGNIFICANT
from core.store.bundled import read_measured
from core.store.samples import read_shipped_samples
from dashboard.charts.fewshot import COSTS, table

BARE = "not significant"


@pytest.fixture(scope="module")
def bundled():
    return list(read_measured().results.values())


def check(rows):
    """Check the verdicts, in data and in words, of rows of `core.findings.numbers.differences`; return how many."""
    rows = rows[rows["verdict"].notna()]
    outside = (rows["low"] > 0) | (rows["high"] < 0)
    infinite = rows["difference"].abs() == float("inf")
    assert (outside == (rows["p"] <= ALPHA)).all()
    assert (outside | infinite).eq(rows["verdict"] != NOT_SIGNIFICANT).all()
    assert rows["verdict"].isin(SIGNIFICANT).eq((rows["p_adjusted"] <= ALPHA) | infinite).all()
    texts = pd.Series([verdict_text(row) for row in rows.to_dict("records")], rows.index)
    assert not (outside & texts.eq(BARE)).any() and not (~outside & ~infinite & texts.ne(BARE)).any()
    alone = rows["verdict"].isin(ALONE)
    counts = rows["comparisons"].map("significant alone, not after Holm ({:.0f} comparisons)".format)
    assert texts[alone].eq(counts[alone]).all() and (rows.loc[alone, "comparisons"] > 1).all()
    return len(rows)


def test_verdicts_against_dense_agree_with_their_intervals(bundled):
    rows = differences_to_dense(bundled, read_shipped_samples)
    assert check(rows) > 1400 and (rows["dataset"] == ABOVE_CHANCE).sum() > 50
    assert rows["verdict"].isin(ALONE).sum() > 100  # or the third verdict is not tried


def test_verdicts_of_few_shot_changes_agree_with_their_intervals(bundled):
    mine = [one for one in bundled if one.variant.model == "smollm2-135m"]
    dense = next(one for one in mine if one.variant.key == one.variant.dense_key)
    rows = fewshot_table([one for one in mine if one is not dense], dense, read_shipped_samples)
    rows = rows[rows["growth_difference"].notna()]
    assert len(rows) > 50
    outside = (rows["growth_low"] > 0) | (rows["growth_high"] < 0)
    assert outside.eq(rows["growth_p"] <= ALPHA).all() and outside.any()
    compared = rows["difference"].notna()
    assert ((rows["low"] > 0) | (rows["high"] < 0))[compared].eq(rows["p"][compared] <= ALPHA).all()
    for _, part in rows.groupby("dataset"):
        shown = table(part.assign(series_label="a"))["Compression"].to_numpy()
        excluded = outside[part.index].to_numpy()
        assert ((shown == BARE) == ~excluded).all()
        judged = pd.Series(shown[excluded], dtype=object)
        assert (judged.isin(COSTS) | judged.str.startswith("significant alone, not after Holm (")).all()
