"""Paired differences in figures and words, with the warning of few windows, and the CSV files of a spreadsheet."""

import io
import math

import pandas as pd
import pytest

from core.findings.numbers.differences import NOTE
from core.findings.numbers.few import few_in, few_of, few_words
from core.findings.numbers.reporting import format_difference, judged, p_words, verdict_text
from core.findings.numbers.sheets import csv_text
from core.statistics.correlations import WIDENED
from tests.core.factories import perplexity

NONE, BETTER, WORSE, ALONE = "not significant", "better", "worse", "worse alone, not after Holm"


def row(metric, *values, verdict=WORSE, why=None):
    names = ("ratio", "ratio_low", "ratio_high") if metric == "perplexity" else ("difference", "low", "high")
    fixed = {"metric": metric, "verdict": verdict, "p_adjusted": 0.08, "comparisons": 12.0, "unpaired_reason": why}
    return fixed | dict(zip(names, values, strict=True))


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (row("acc", -0.031, -0.046, -0.016), "-3.1 [-4.6, -1.6]"),
        (row("acc_norm", 0.021, -0.003, 0.045), "+2.1 [-0.3, +4.5]"),
        (row("acc", -0.0001, -0.01, 0.01), "+0.0 [-1.0, +1.0]"),
        (row("acc", -0.016, -0.0316, -0.0002), "-1.6 [-3.2, -0.02]"),
        (row("acc", 0.0, 0.0, 0.0), "+0.0 [+0.0, +0.0]"),
        (row("acc", 1.0, None, None), "+100.0"),
        (row("perplexity", 1.93, 1.9, 1.98), "x 1.93 [1.90, 1.98]"),
        (row("perplexity", 1.004, 1.002, 1.006), "x 1.004 [1.002, 1.006]"),
        (row("perplexity", 81.94, 0.9919, 2.2179), "x 81.9 [0.992, 2.22]"),
        (row("perplexity", 47619.4, 30110.0, 75312.0), "x 4.8e4 [3.0e4, 7.5e4]"),
        (row("perplexity", math.inf, None, None), "x ∞"),
        (row("acc", None, None, None, verdict=None), ""),
    ],
)
def test_figures_are_formatted(given, written):
    assert format_difference(given) == written


@pytest.mark.parametrize(("p", "short"), [(None, ""), (math.nan, ""), (1e-9, "< 0.001"), (0.214, "0.21"), (1.0, "1")])
def test_p_values_are_short(p, short):
    assert p_words(p) == short


def test_verdicts_give_the_reason_or_count_the_comparisons():
    reason = "cannot be paired: so"
    assert verdict_text(row("acc", None, None, None, verdict=None, why=reason)) == reason
    assert verdict_text(row("acc", 0.1, 0.05, 0.15, verdict=BETTER)) == BETTER
    found = row("acc", -0.062, -0.101, -0.023, verdict=ALONE)
    assert verdict_text(found) == "significant alone, not after Holm (12 comparisons)"
    assert judged(found) == ("-6.2 [-10.1, -2.3], adjusted p 0.08: significant alone, not after Holm (12 comparisons)")
    assert judged(row("perplexity", math.inf, None, None) | {"p_adjusted": None}) == "x ∞: worse"


def test_few_windows_and_documents_are_named():
    warning = few_words([("wikitext2", 7), ("wikitext2", 7), ("piqa", 49), ("ptb@12345678", 1)])
    assert warning == (
        "Intervals of fewer than 8 windows or 50 documents are unreliable: wikitext2 has 7 windows, "
        "piqa has 49 documents and ptb@12345678 has 1 window."
    )
    enough = [("wikitext2", 8), ("piqa", 50), ("mean above chance", 350), ("piqa", 0), ("boolq", math.nan)]
    assert few_words(enough) == ""
    assert few_words([(f"own{place}", 2) for place in range(5)]).endswith("own2 has 2 windows and 2 more have few.")


def test_texts_with_widened_intervals_are_named():
    names = ["wikitext2", "a.txt", "b.txt", "a.txt", "c.txt", "d.txt"]
    notes = [None if name == "wikitext2" else WIDENED for name in names]
    details = [{"interval": note} if note else {} for note in notes]
    numbers = [perplexity(2.0, dataset=name, details=one) for name, one in zip(names, details, strict=True)]
    frame = pd.DataFrame({"dataset": names, "n": 16, NOTE: notes})
    sentence = "Intervals of a.txt, b.txt, c.txt and 1 other text are widened: no record of this text."
    assert few_of(numbers) == few_in(frame) == sentence
    assert few_of(numbers[:1]) == few_in(frame[:1]) == ""
    assert few_in(frame[1:2].assign(n=2)).endswith(
        "are unreliable: a.txt has 2 windows. Intervals of a.txt are widened: no record of this text."
    )


def written(cell):
    return pd.read_csv(io.StringIO(csv_text(pd.DataFrame({"a": [cell], "b": [1]}))), dtype=str, na_filter=False).a[0]


@pytest.mark.parametrize(
    "cell", ["=1+1", "@SUM(A1)", "+cmd", "-cmd", "-1+2", "-1.5 %", "\t=1", "\r=1", "＝1", "-", "-²"]
)
def test_a_formula_becomes_text(cell):
    assert written(cell) == f"'{cell}".replace("\r", "\n")


@pytest.mark.parametrize("cell", ["-1.5", "+3", "-1e-05", "-.5", "-inf", "a=b", "50 %", "'=1", ""])
def test_numbers_and_words_do_not_change(cell):
    assert written(cell) == cell


def test_number_columns_do_not_change_and_a_carriage_return_starts_no_row():
    assert written("x\r=1") == "x\n=1"
    table = pd.DataFrame({"x": [-1.5, float("nan")], "n": [-2, 3], "mixed": [-1.5, "-x"], "on": [True, False]})
    assert csv_text(table) == "x,n,mixed,on\n-1.5,-2,-1.5,True\n,3,'-x,False\n"
