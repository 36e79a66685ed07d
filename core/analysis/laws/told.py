"""Fits as a table, a row each, and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from core.analysis.laws.fit import Ends, Fit, best_of
from core.analysis.laws.validation import HeldOut
from core.words import number

UNKNOWNS = ("a", "b", "c", "P0", "C", "g", "d")
ERRORS = ("leave_one_ratio_out", "leave_one_model_out")
NOTES = (
    "A law is fitted in logarithms by least squares, to all variants of a series or family that have a ratio: neither "
    "N:M patterns nor bits, and no perplexity that says only that a model is broken. r is the share of the block "
    "weights that is gone. Of perplexities L is the cross-entropy ln(perplexity). Accuracies are taken as they are, as "
    "in the papers: chance is not subtracted. Within one model L0 is one number, so that the a of 1 + r is 1. "
    "Intervals: 95 %, of 300 bootstrap draws of the points."
)
ERROR = (
    "Leave-one-ratio-out error: each ratio is predicted by the fit to all others, the largest, too; root mean square, "
    "in % of L, and the factor of perplexity that this is."
)


def table(groups: Sequence[Sequence[Fit]], keep: float) -> pd.DataFrame:
    """Return a row a fit, of each group's fits: what was fitted to what, its unknowns and errors, and the critical
    ratio for keeping a share `keep` of the quality, NaN where `beyond` says that it lies beyond the `largest` ratio."""
    return pd.DataFrame([_row(one, one is best_of(fitted), keep) for fitted in groups for one in fitted])


def _row(one: Fit, best: bool, keep: float) -> dict[str, Any]:
    group, (critical, of) = one.group, one.critical(keep)
    compressed = int((group.rows["ratio"] > 0).sum())
    row = {"of": group.of, "metric": group.metric, "fitted_to": group.name, "form": one.form.name}
    row |= {"law": one.form.law, "paper": one.form.link, "points": one.points}
    row |= {"without_place": compressed - one.points, "diverged": group.left_out}
    for name in UNKNOWNS:
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), one.exponents.get(name, [math.nan] * 3), strict=True))
    for name, error in zip(ERRORS, (one.by_ratio, one.by_model), strict=True):
        row |= {f"{name}_percent": error.percent if error else math.nan}
        row |= {f"{name}_times": error.times if error and error.times else math.nan}
    row |= {
        "best": best,
        "largest": group.largest,
        "keep": keep,
        "beyond": math.isinf(critical.value),
        "critical_of": of,
    }
    ends = dict(zip(("critical", "critical_low", "critical_high"), critical, strict=True))
    return row | {name: value if math.isfinite(value) else math.nan for name, value in ends.items()}


def exponents(one: Fit) -> str:
    """Write the unknowns of a fit with their intervals: `b = 1.17 [0.969, 1.29]`."""
    parts = [
        f"{name} = {number(told.value)}"
        + ("" if math.isnan(told.low) else f" [{number(told.low)}, {number(told.high)}]")
        for name, told in one.exponents.items()
    ]
    return ", ".join(parts)


def error(found: HeldOut | None) -> str:
    """Write an error: `4.1 %, x 1.24`; empty where there is none."""
    if found is None:
        return ""
    return f"{found.percent:.1f} %" + (f", x {found.times:.2f}" if found.times else "")


def at_most(one: Fit, keep: float) -> str:
    """Write the critical ratio with its interval: `23 % (17 to 28 %)`, or beyond which ratio nothing is said."""
    critical, of = one.critical(keep)
    if math.isnan(critical.value):
        return "not told by one ratio"
    told = "" if one.group.rows["model"].nunique() == 1 else f", {of} first"
    return _range(critical, one.group.largest) + told


def sentence(one: Fit, keep: float) -> str:
    """Say how much may be removed: `To keep 90 % of the accuracy, remove at most 23 % (17 to 28 %).`"""
    group, (critical, _) = one.group, one.critical(keep)
    kept = f"{100 * keep:g} % of " + ("1 / ln(perplexity)" if group.loss else "the accuracy")
    if group.loss:
        kept += f", a perplexity of at most {number(math.exp(group.rows['dense'].iloc[0] / keep))}"
    if math.isinf(critical.value):
        largest = f"{100 * group.largest:g} %"
        return f"At {largest}, the largest ratio measured, there is still {kept}: what lies beyond is not said."
    if math.isnan(critical.value):
        return f"How much may be removed to keep {kept}, one ratio does not tell."
    if critical.value == 0:
        return f"By this law there is less than {kept} as soon as anything is removed."
    return f"To keep {kept}, remove at most {_range(critical, group.largest)}."


def _range(critical: Ends, largest: float) -> str:
    value, low, high = (f"{100 * end:.0f}" if math.isfinite(end) else f"beyond {100 * largest:g}" for end in critical)
    return f"{value} %" if math.isnan(critical.low) else f"{value} % ({low} to {high} %)"
