"""Fits as a table, a row each, and in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from core.analysis.budget import DIVERGED, DIVERGED_TIMES_DENSE
from core.analysis.laws.fit import DRAWS, Ends, Fit, best_of
from core.analysis.laws.groups import Group
from core.analysis.laws.validation import HeldOut
from core.analysis.reporting import listed
from core.formatting import format_number

UNKNOWNS = ("a", "b", "c", "P0", "C", "g", "d")
UNKNOWN = Ends(math.nan, math.nan, math.nan)
ERRORS = ("leave_one_ratio_out", "leave_one_model_out")
DROPPED = {  # by whether the values are losses
    True: f"Dropped: perplexities over {DIVERGED:,.0f}, or over {DIVERGED_TIMES_DENSE} times the dense model's.",
    False: "Dropped: accuracies of 0, which have no logarithm.",
}
NOTES = (
    "A law is fitted in logarithms by least squares, to every variant of a series or family that has a ratio, so "
    "neither to N:M patterns nor to bits, and to no perplexity that says only that a model is broken. r is the share "
    "of the block weights that is gone; P2, whose rho it is, has no place for what is not worse than dense. Of "
    "perplexities L is the cross-entropy ln(perplexity). Accuracies are taken as they are, as in the papers: chance is "
    "not subtracted. Within one model L0 is one number, so that the a of 1 + r is 1. Where some was trained on D "
    "million tokens, that form has c; with c, or another a, it does not give L0 where nothing is removed. Intervals: "
    f"95 %, of {DRAWS} bootstrap draws of the points. Leave-one-ratio-out error: each ratio is predicted by the fit to "
    "all others, the largest, too; root mean square, in % of L, and as a factor of perplexity. Of one ratio in several "
    "models each model is left out instead, and b tells only what is lost at that ratio. No law is read beyond the "
    "largest ratio that was measured."
)


def table(groups: Sequence[Sequence[Fit]], keep: float) -> pd.DataFrame:
    """Return a row a fit, of each group's fits: what was fitted to what, its unknowns and errors, and the critical
    ratio for keeping a share `keep` of the quality, NaN where `beyond` says that it lies beyond the `largest` ratio.
    """
    return pd.DataFrame([_row(one, one is best_of(fitted), keep) for fitted in groups for one in fitted])


def _row(one: Fit, best: bool, keep: float) -> dict[str, Any]:
    group, (critical, of) = one.group, one.critical(keep)
    row: dict[str, Any] = {"of": group.of, "metric": group.metric, "fitted_to": group.name, "form": one.form.name}
    row |= {"law": one.form.law, "paper": one.form.link, "points": one.points}
    row |= {"without_place": one.without_place, "diverged": group.left_out}
    for name in UNKNOWNS:
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), one.exponents.get(name, UNKNOWN), strict=True))
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


def in_words(fitted: Sequence[Fit], keep: float) -> list[dict[str, str]]:
    """Return the fits of one group as a table for people, a row a form."""
    best = best_of(fitted)
    few = "one ratio" if fitted[0].group.rows["ratio"].nunique() == 2 else "too few ratios"  # beside that of dense
    return [
        {
            "fitted to": one.group.name,
            "form": one.form.name,
            "leave-one-ratio-out error": error(one.by_ratio) or few,
            "leave-one-model-out error": error(one.by_model),
            "predicts best": "yes" if one is best else "",
            f"keeps {100 * keep:g} % up to": at_most(one, keep),
            "exponents, 95 %": exponents(one),
            "points": points(one),
        }
        for one in fitted
    ]


def exponents(one: Fit) -> str:
    """Write the unknowns of a fit with their intervals: `b = 1.17 [0.969, 1.29]`."""
    parts = [
        f"{name} = {format_number(told.value)}"
        + ("" if math.isnan(told.low) else f" [{format_number(told.low)}, {format_number(told.high)}]")
        for name, told in one.exponents.items()
    ]
    return ", ".join(parts)


def error(found: HeldOut | None) -> str:
    """Write an error: `4.1 %, x 1.24`; empty where there is none."""
    if found is None:
        return ""
    return f"{found.percent:.1f} %" + (f", x {found.times:.2f}" if found.times else "")


def dropped(groups: Iterable[Group]) -> str:
    """Say which groups keep too few ratios for a law, how many values were dropped and why; empty where none was."""
    short = [one for one in groups if one.left_out and not one.enough and one.measured + 1 >= one.least]
    if not short:
        return ""
    several = len({one.of for one in short}) > 1
    counts = [
        f"{one.of + ', ' if several else ''}{one.name} ({one.left_out} of {one.measured} values dropped)"
        for one in short
    ]
    reasons = [DROPPED[loss] for loss in dict.fromkeys(one.loss for one in short)]
    return f"Too few ratios are left for a law of {listed(counts)}. {' '.join(reasons)}"


def points(one: Fit) -> str:
    """Write how many points were fitted, and why others were not: `40, 1 not worse than dense, 1 diverged`."""
    more = [(one.without_place, "not worse than dense"), (one.group.left_out, "diverged")]
    return ", ".join([f"{one.points}", *(f"{count} {why}" for count, why in more if count)])


def at_most(one: Fit, keep: float) -> str:
    """Write the critical ratio with its interval: `23 % (17 to 28 %)`, or beyond which ratio nothing is said.

    Of several models that which loses the quality first is named.
    """
    critical, of = one.critical(keep)
    if math.isnan(critical.value):
        return "not told by one ratio"
    told = one.group.rows["model"].nunique() == 1 or math.isinf(critical.value)
    return _range(critical, one.group.largest) + ("" if told else f", {of}")


def sentence(one: Fit, keep: float) -> str:
    """Say how much may be removed: `To keep 90 % of the accuracy, remove at most 23 % (17 to 28 %).`"""
    group, (critical, _) = one.group, one.critical(keep)
    kept = f"{100 * keep:g} % of " + ("1 / ln(perplexity)" if group.loss else "the accuracy")
    if group.loss:
        kept += f", a perplexity of at most {format_number(math.exp(group.rows['dense'].iloc[0] / keep))}"
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
    return f"{value} %" if low == value == high or math.isnan(critical.low) else f"{value} % ({low} to {high} %)"
