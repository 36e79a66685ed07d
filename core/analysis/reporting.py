"""Formats of paired differences for tables and sentences."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from core.analysis import verdicts
from core.analysis.verdicts import SIGNIFICANT
from core.notation import formatting

TableRow = Mapping[Hashable, Any]  # Any: each column of a table has its own type
UNADJUSTED = "unadjusted 95 %"  # name of an interval
CLOSE = 0.1  # ratios within this distance of 1 have three decimals
FEW = 10  # ratios below this have two decimals


def format_difference(row: TableRow) -> str:
    """Write a row of `paired_differences` with its unadjusted interval; empty if it is unpaired.

    Accuracies are in points, `-3.1 [-4.6, -1.6]`. Perplexities are ratios, `x 1.93 [1.88, 1.98]`.
    """
    if pd.isna(row["verdict"]):
        return ""
    if row["metric"] == "perplexity":
        ratio = f"x {ratio_words(row['ratio'])}"
        interval = interval_words(row["ratio_low"], row["ratio_high"], ratio_words)
        return f"{ratio} {interval}" if interval else ratio
    return in_points(row["difference"], row["low"], row["high"])


def in_points(difference: float, low: float | None, high: float | None) -> str:
    """Write a difference of accuracies in points with its interval, if known: `-3.1 [-4.6, -1.6]`."""
    interval = interval_words(low, high, end_words)
    return f"{point_words(difference)} {interval}" if interval else point_words(difference)


def ratio_words(ratio: float) -> str:
    """Write a ratio of perplexities: `1.034`, `2.20`, `81.9`."""
    if pd.isna(ratio):
        return "not a number"
    if ratio < FEW:
        return f"{ratio:.3f}" if abs(ratio - 1) < CLOSE else f"{ratio:.2f}"
    return formatting.format_number(ratio)


def point_words(difference: float) -> str:
    """Write a difference of accuracies in points: `+0.4`."""
    return f"{round(100 * difference, 1) + 0.0:+.1f}"  # + 0.0 turns -0.0 into 0.0


def flip_words(row: TableRow | pd.Series) -> str:
    """Write how many answers a paired difference turned right and wrong: `41, 63`; empty for losses."""
    return "" if pd.isna(row["gained"]) else f"{row['gained']:.0f}, {row['lost']:.0f}"


def end_words(end: float) -> str:
    """Write an end of an interval in points; an end near zero gets enough digits to differ from it: `+0.02`."""
    points = 100 * end
    return f"{points:+.1g}" if points and not round(points, 1) else point_words(end)


def interval_words(low: float | None, high: float | None, written: Callable[[float], str]) -> str | None:
    """Write an interval: `[-2.1, +0.4]`; None if it is unknown."""
    return None if low is None or high is None or pd.isna(low) else f"[{written(low)}, {written(high)}]"


def p_words(p: float | None) -> str:
    """Write a p value: `0.21`, `< 0.001`; empty if it is unknown."""
    return "" if p is None or pd.isna(p) else "< 0.001" if p < 0.001 else f"{p:.2g}"


def adjusted_words(row: TableRow) -> str:
    """Write the adjusted p of a row as part of a sentence: `, adjusted p 0.21`; empty if it is unknown."""
    return f", adjusted p {p}" if (p := p_words(row["p_adjusted"])) else ""


def judged(row: TableRow) -> str:
    """Write a row of `paired_differences` with adjusted p and verdict: `-3.1 [-4.6, -1.6], adjusted p 0.003: worse`."""
    return f"{format_difference(row)}{adjusted_words(row)}: {verdict_text(row)}"


def verdict_text(row: TableRow) -> str:
    """Write the verdict of a row, or the reason why it is unpaired."""
    return (
        row["unpaired_reason"] if pd.isna(row["verdict"]) else verdicts.verdict_text(row["verdict"], row["comparisons"])
    )


def sentence(found: Sequence[tuple[str, TableRow]], one: str, other: str) -> str:
    """Summarise in a sentence which numbers of `one` are better or worse than those of `other`.

    Args:
        found: (name of a number, its row of `paired_differences`) each.
        one: Name of the compared variant.
        other: Name of the reference.
    """
    groups: dict[tuple[str | None, str], list[str]] = {}  # by verdict (None: unpaired) and text
    for name, row in found:
        groups.setdefault((None if pd.isna(row["verdict"]) else row["verdict"], verdict_text(row)), []).append(name)
    parts = [(verdict, listed(groups[verdict, verdict])) for verdict in SIGNIFICANT if (verdict, verdict) in groups]
    significant = " and ".join(
        f"{verdict} in {where}" if place else f"{one} is {verdict} than {other} in {where}"
        for place, (verdict, where) in enumerate(parts)
    )
    rest = [
        f"the difference is {text} in {listed(names)}"
        for (verdict, text), names in groups.items()
        if verdict is not None and verdict not in SIGNIFICANT
    ]
    rest += [f"{listed(names)} {why.rstrip('.')}" for (verdict, why), names in groups.items() if verdict is None]
    return ("; ".join([significant, *rest]) if significant else f"Of {one} and {other}, {'; '.join(rest)}") + "."


def listed(names: Sequence[str]) -> str:
    """Write a list of names: `PIQA, BoolQ and ARC-e`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
