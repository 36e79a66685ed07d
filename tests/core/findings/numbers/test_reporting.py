"""Paired differences in figures and words."""

import math

import pytest

from core.findings.numbers.reporting import format_difference, judged, p_words, verdict_text

NONE, BETTER, WORSE, ALONE = "not significant", "better", "worse", "worse alone, not after Holm"


def row(metric, *values, verdict=WORSE, why=None):
    names = ("ratio", "ratio_low", "ratio_high") if metric == "perplexity" else ("difference", "low", "high")
    figure = dict(zip(names, values, strict=True))
    return {
        "metric": metric,
        "verdict": verdict,
        "p_adjusted": 0.08,
        "comparisons": 12.0,
        "unpaired_reason": why,
        **figure,
    }


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
    assert (
        verdict_text(row("acc", None, None, None, verdict=None, why="cannot be paired: so")) == "cannot be paired: so"
    )
    assert verdict_text(row("acc", 0.1, 0.05, 0.15, verdict=BETTER)) == BETTER
    found = row("acc", -0.062, -0.101, -0.023, verdict=ALONE)
    assert verdict_text(found) == "significant alone, not after Holm (12 comparisons)"
    assert judged(found) == ("-6.2 [-10.1, -2.3], adjusted p 0.08: significant alone, not after Holm (12 comparisons)")
    assert judged(row("perplexity", math.inf, None, None) | {"p_adjusted": None}) == "x ∞: worse"
