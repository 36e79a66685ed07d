"""Verdicts on paired differences, alone and among several comparisons.

A verdict never contradicts its interval, which is unadjusted. If the interval excludes zero, the difference is
significant alone. Holm's procedure (Holm, 1979) decides whether it stays significant among all comparisons.
"""

import math
from collections.abc import Sequence
from typing import Final, Literal

from core.findings.numbers.intervals import ALPHA
from core.findings.numbers.paired import Difference

Verdict = Literal["better", "worse", "better alone, not after Holm", "worse alone, not after Holm", "not significant"]
SIGNIFICANT: Final[tuple[Verdict, ...]] = ("better", "worse")
ALONE: Final[tuple[Verdict, ...]] = ("better alone, not after Holm", "worse alone, not after Holm")
NOT_SIGNIFICANT: Final[Verdict] = "not significant"
SEEDS = "difference_seeds"  # column with one of these; missing if no stage of both variants depends on a seed
TWO_MODELS = "two models"  # no seeds are stored, so the difference is one of these models, not of their methods
CONTAINED = "contained"  # the interval contains the variance between the seeds


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p values for multiple comparisons (Holm, 1979); None stays None and does not count.

    With the threshold ALPHA on adjusted p, the probability of any false positive among them is at most ALPHA.
    """
    known = sorted(((p, place) for place, p in enumerate(p_values) if p is not None))
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = adjusted[place] = max(highest, min(1.0, (len(known) - rank) * p))
    return adjusted


def excludes_zero(low: float | None, high: float | None) -> bool:
    """Return whether an interval is known and excludes zero."""
    return low is not None and high is not None and (low > 0 or high < 0)


def verdict(found: Difference, adjusted: float | None, lower_is_better: bool = False) -> Verdict:
    """Judge the second variant of a paired difference; an infinite difference needs no test.

    `adjusted` is p, adjusted for all comparisons that are shown together. `lower_is_better` is whether a negative
    difference is an improvement, as of log-losses.
    """
    infinite = math.isinf(found.difference)
    if not infinite and not excludes_zero(found.low, found.high):
        return NOT_SIGNIFICANT
    place = 0 if (found.difference < 0) == lower_is_better else 1
    return (SIGNIFICANT if infinite or (adjusted is not None and adjusted <= ALPHA) else ALONE)[place]


def verdict_text(of: Verdict, comparisons: float) -> str:
    """Write a verdict: `worse` or `significant alone, not after Holm (12 comparisons)`."""
    return f"significant alone, not after Holm ({comparisons:.0f} comparisons)" if of in ALONE else of
