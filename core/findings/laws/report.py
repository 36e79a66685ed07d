"""Tables of laws, and the groups without one in words."""

import math
from collections.abc import Iterable

import pandas as pd

from core.findings.best.budget import DIVERGED, DIVERGED_TIMES_DENSE
from core.findings.laws.fit import DRAWS, Ends, Fit, HeldOut
from core.findings.laws.groups import Group
from core.findings.laws.law import Law, range_words
from core.findings.laws.limit import Limit
from core.findings.laws.measured import LEAST_OF_FAMILY, LEAST_OF_SERIES
from core.findings.numbers.reporting import listed
from core.notation.formatting import format_number
from core.specs import Scalar

UNKNOWNS = ("a", "b", "c", "P0", "C", "g", "d")
UNKNOWN = Ends(math.nan, math.nan, math.nan)
ERRORS = ("leave_one_ratio_out", "leave_one_model_out")
DROPPED = {  # by `Group.loss`
    True: f"Dropped: perplexities over {DIVERGED:,.0f}, or over {DIVERGED_TIMES_DENSE} times the dense model's.",
    False: "Dropped: accuracies not above chance, which have no logarithm.",
}
TOO_FEW = (
    f"There are too few ratios for a law: it needs {LEAST_OF_SERIES} per series or {LEAST_OF_FAMILY} per family, "
    "dense included."
)
NOTES = (
    "Each law is fitted in logarithms by least squares to all variants of a series or family with a pruning "
    "ratio. N:M, quantised and diverged variants are left out. r is the pruning ratio of block weights (rho in "
    "P2). P2 leaves out points that are not worse than dense. For perplexities, L is the cross-entropy "
    "ln(perplexity). Accuracies are above chance, unlike those of the papers. Within one model L0 is constant, "
    "so the a of 1 + r is fixed at 1. If variants differ in training data (D million tokens), this form has c. "
    f"With c, or with another a, it does not give L0 at r = 0. Intervals are 95 %, from {DRAWS} bootstrap draws "
    "of the points. For the leave-one-ratio-out error, the fit to all other ratios predicts each ratio, "
    "including the largest. It is a root mean square, in % of L and as a factor of perplexity. In a group "
    "of several models at one ratio, one model at a time is left out. Then b is valid at this ratio only. No law is "
    "used beyond the largest measured ratio."
)


def table(found: Iterable[Law]) -> pd.DataFrame:
    """Return a row per fit with its group, unknowns, errors and critical ratio.

    This ratio is NaN if it is `beyond` the `largest` one.
    """
    return pd.DataFrame([_row(fit, fit is one.best, one.limit) for one in found for fit in one.fits])


def _row(one: Fit, best: bool, limit: Limit) -> dict[str, Scalar]:
    group, (critical, of) = one.group, one.critical(limit)
    row: dict[str, Scalar] = {"of": group.of, "metric": group.metric, "fitted_to": group.name, "form": one.form.name}
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
        "keep": math.nan if group.loss else limit.keep,
        "times_dense": limit.times if group.loss else math.nan,
        "beyond": math.isinf(critical.value),
        "critical_of": of,
    }
    ends = dict(zip(("critical", "critical_low", "critical_high"), critical, strict=True))
    return row | {name: value if math.isfinite(value) else math.nan for name, value in ends.items()}


def in_words(found: Law) -> list[dict[str, str]]:
    """Return the fits of one group as a display table, a row per form."""
    limit = found.limit
    few = "one ratio" if found.rows["ratio"].nunique() == 2 else "too few ratios"  # 2 with the dense 0
    within = f"below {limit.times:g} x dense up to" if found.group.loss else f"keeps {100 * limit.keep:g} % up to"
    return [
        {
            "fitted to": one.group.name,
            "form": one.form.name,
            "leave-one-ratio-out error": error(one.by_ratio) or few,
            "leave-one-model-out error": error(one.by_model),
            "predicts best": "yes" if one is found.best else "",
            within: at_most(one, limit),
            "exponents, 95 %": exponents(one),
            "points": points(one),
        }
        for one in found.fits
    ]


def exponents(one: Fit) -> str:
    """Write the unknowns of a fit with their intervals: `b = 1.17 [0.969, 1.29]`."""
    parts = [
        f"{name} = {format_number(ends.value)}"
        + ("" if math.isnan(ends.low) else f" [{format_number(ends.low)}, {format_number(ends.high)}]")
        for name, ends in one.exponents.items()
    ]
    return ", ".join(parts)


def error(found: HeldOut | None) -> str:
    """Write an error: `4.1 %, x 1.24`; empty if there is none."""
    if found is None:
        return ""
    return f"{found.percent:.1f} %" + (f", x {found.times:.2f}" if found.times else "")


def dropped(groups: Iterable[Group]) -> str:
    """List the groups with too few ratios because of dropped values, with the reasons; empty if there are none."""
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
    """Write the number of fitted points and of those left out: `40, 1 not worse than dense, 1 diverged`."""
    return ", ".join([f"{one.points}", *(f"{count} {why}" for why, count in one.left_out.items())])


def at_most(one: Fit, limit: Limit) -> str:
    """Write the critical ratio with its interval, and its model if there are several: `23 % (17 to 28 %)`."""
    critical, of = one.critical(limit)
    if math.isnan(critical.value):
        return "unknown: only one ratio"
    unnamed = one.group.rows["model"].nunique() == 1 or math.isinf(critical.value)
    return range_words(critical, one.group.largest) + ("" if unnamed else f", {of}")
