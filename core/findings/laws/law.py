"""The question how much of a model may be removed, and its answer: a compression law within a loss of quality."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.findings.finding import Finding
from core.findings.laws.fit import Ends, Fit, best_of, fits
from core.findings.laws.groups import Group
from core.findings.laws.limit import Limit
from core.notation.formatting import format_number


@dataclass(frozen=True, repr=False)
class Law(Finding):
    """The largest pruning ratio of a series or family within a loss of quality, by the form that predicts best.

    `rows` are the points (`Group.rows`).

    Attributes:
        fits: The forms that the points determine.
        limit: The loss to accept.
        best: The fit that predicts best; None if fewer than two have an error.
        critical: The largest ratio with its 95 % interval, as of `Fit.critical`.
    """

    fits: Sequence[Fit]
    limit: Limit
    best: Fit | None
    critical: Ends

    @property
    def shown(self) -> Fit:
        """The fit of the answer: the one that predicts best, or else the first."""
        return self.best or self.fits[0]

    @property
    def group(self) -> Group:
        """The series, family or table."""
        return self.shown.group

    @property
    def left_out(self) -> Mapping[str, int]:
        """The number of points that the fit of the answer leaves out, by reason."""
        return self.shown.left_out

    @property
    def error_sentence(self) -> str:
        """The error at left-out ratios, and whether it exceeds the loss that the limit allows; empty if unknown."""
        error, limit = self.shown.by_ratio, self.limit
        if error is None:
            return ""
        text = "Its error at ratios outside the fit is "
        if error.times:
            text += f"a factor of {error.times:.2f} of the perplexity."
            too_large = error.times > limit.times
        else:
            text += f"{error.percent:.1f} % of the accuracy above chance."
            too_large = error.percent > 100 * (1 - limit.keep)
        return text + " This is more than the loss that you accept, so measure before you rely on it." * too_large


def law(fitted: Sequence[Fit], limit: Limit) -> Law:
    """Answer how much of a model may be removed, by at least one fit of a group (`core.findings.laws.fit.fits`).

    Example: `To keep 90 % of the accuracy above chance, remove at most 23 % (95 % interval: 17 to 28 %).`
    """
    best = best_of(fitted)
    critical, _ = (best or fitted[0]).critical(limit)
    group = fitted[0].group
    return Law(group.rows, _sentence(group, critical, limit), fitted, limit, best, critical)


def laws(groups: Iterable[Group], limit: Limit) -> list[Law]:
    """Return the law of each group that has one."""
    return [law(fitted, limit) for one in groups if (fitted := fits(one))]


def _sentence(group: Group, critical: Ends, limit: Limit) -> str:
    if group.loss:
        worst = math.exp(limit.worst(group.rows["dense"].to_numpy(), loss=True)[0])
        verb, goal = "stay", f"below {limit.times:g} times the dense perplexity, {format_number(worst)}"
    else:
        verb, goal = "keep", f"{100 * limit.keep:g} % of the accuracy above chance"
    if math.isinf(critical.value):
        largest = f"{100 * group.largest:g} %"
        return f"At {largest}, the largest ratio measured, the law {verb}s {goal}. Larger ratios are not predicted."
    if math.isnan(critical.value):
        return f"A single ratio does not predict how much may be removed to {verb} {goal}."
    if critical.value == 0:
        return f"By this law, no ratio {verb}s {goal}."
    return f"To {verb} {goal}, remove at most {range_words(critical, group.largest, '95 % interval: ')}."


def range_words(critical: Ends, largest: float, before: str = "") -> str:
    """Write a critical ratio with its interval, and a word `before` this: `23 % (17 to 28 %)`."""
    digits = 1 if 0 < critical.value < 0.01 else 0
    value, low, high = (
        f"{100 * end:.{digits}f}" if math.isfinite(end) else f"beyond {100 * largest:g}" for end in critical
    )
    interval = "" if low == value == high or math.isnan(critical.low) else f" ({before}{low} to {high} %)"
    return f"{value} %{interval}"
