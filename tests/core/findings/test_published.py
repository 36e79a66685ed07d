"""The order of methods in a paper against the order here."""

import pandas as pd

from core.findings.published import Side, agreement


def side(model, *rows):
    return Side(model, pd.DataFrame(rows, columns=["parts", "label", "removed", "value"]))


PAPER = side(
    "OPT",
    *(("a", "A", "50 %", 10.0), ("b", "B", "50 %", 11.0), ("c", "C", "50 %", 12.0), ("d", "D", "50 %", 1.0)),
    *(("a", "A", "2:4", 10.0), ("b", "B", "2:4", 9.0)),
)


def test_the_amount_with_most_common_methods_decides_and_pairs_are_counted():
    seeds = (("a", "a", "50 %", 5.0), ("a", "a", "50 %", 7.0))  # 6 in the mean
    here = side("tiny", *seeds, ("b", "b", "50 %", 5.5), ("c", "c", "50 %", 8.0), ("a", "a", "2:4", 1.0))
    found = agreement(PAPER, here, lower=True)
    assert found.sentence == "At 50 %, A is the best of 3 methods in the paper (OPT), B here (tiny)"
    assert (found.pairs, found.alike) == (3, 2)
    found = agreement(PAPER, here, lower=False)
    assert found.sentence == "At 50 %, C is the best of 3 methods in the paper (OPT) and here (tiny)"
    assert found.alike == 2


def test_equal_values_are_no_order_and_one_common_method_is_no_comparison():
    equal = side("tiny", ("a", "a", "2:4", 1.0), ("b", "b", "2:4", 1.0), ("c", "c", "1:4", 1.0))
    assert agreement(PAPER, equal, lower=True)[1:] == (1, 0)
    assert agreement(PAPER, side("tiny", ("a", "a", "2:4", 1.0)), lower=True) is None
    assert agreement(PAPER, side("tiny", ("x", "x", "2:4", 1.0)), lower=True) is None
