"""Paired differences as people read them: figures for a cell, and a sentence of what can be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from core import words
from core.analysis.paired import NO_DIFFERENCE

CLOSE = 0.1  # ratios this near to 1 need another digit
FEW = 10  # ratios below have two decimals


def figures(row: Mapping[Any, Any]) -> str:
    """Write a row of `of_pairs` with its 95 % interval: accuracies in points, `-3.1 [-4.6, -1.6]`, perplexities as a
    ratio, `x 1.93 [1.88, 1.98]`. Empty where the pair could not be made.
    """
    if pd.isna(row["verdict"]):
        return ""
    if row["metric"] == "perplexity":
        told, interval = (
            f"x {ratio_words(row['ratio'])}",
            interval_words(row["ratio_low"], row["ratio_high"], ratio_words),
        )
        return f"{told} {interval}" if interval else told
    return in_points(row["difference"], row["low"], row["high"])


def in_points(difference: float, low: float | None, high: float | None) -> str:
    """Write a difference of accuracies in points with its interval, where there is one: `-3.1 [-4.6, -1.6]`."""
    interval = interval_words(low, high, point_words)
    return f"{point_words(difference)} {interval}" if interval else point_words(difference)


def ratio_words(ratio: float) -> str:
    """Write a ratio of perplexities: `1.034`, `2.20`, `81.9`."""
    if pd.isna(ratio):
        return "not a number"
    if ratio < FEW:
        return f"{ratio:.3f}" if abs(ratio - 1) < CLOSE else f"{ratio:.2f}"
    return words.number(ratio)


def point_words(difference: float) -> str:
    """Write a difference of accuracies, of at most 1, in points: `+0.4`."""
    return f"{round(100 * difference, 1) + 0.0:+.1f}"  # a rounded -0.0 is none


def interval_words(low: float | None, high: float | None, written: Callable[[float], str]) -> str | None:
    """Write a 95 % interval: `[-2.1, +0.4]`; None where there is none."""
    return None if low is None or high is None or pd.isna(low) else f"[{written(low)}, {written(high)}]"


def p_words(p: float | None) -> str:
    """Write a p value: `0.21`, `< 0.001`; empty where there is none."""
    return "" if p is None or pd.isna(p) else "< 0.001" if p < 0.001 else f"{p:.2g}"


def said(row: Mapping[Any, Any]) -> str:
    """Return the verdict of a row, or why there is none."""
    return row["why"] if pd.isna(row["verdict"]) else row["verdict"]


def sentence(found: Sequence[tuple[str, str]], one: str, other: str) -> str:
    """Say which numbers of `one` are better or worse than those of `other`, and which cannot be told or paired.

    `found` are the numbers' names, each with what is `said` of it.
    """
    groups: dict[str, list[str]] = {}
    for name, words_of_it in found:
        groups.setdefault(words_of_it, []).append(name)
    parts = [(verdict, listed(groups[verdict])) for verdict in ("better", "worse") if verdict in groups]
    told = " and ".join(
        f"{verdict} in {where}" if place else f"{one} is {verdict} than {other} in {where}"
        for place, (verdict, where) in enumerate(parts)
    )
    rest = [f"{NO_DIFFERENCE} in {listed(groups[NO_DIFFERENCE])}"] if NO_DIFFERENCE in groups else []
    reasons = [why for why in groups if why not in ("better", "worse", NO_DIFFERENCE)]
    rest += [f"{listed(groups[why])} {why.rstrip('.')}" for why in reasons]
    return ("; ".join([told, *rest]) if told else f"Of {one} and {other}, {'; '.join(rest)}") + "."


def listed(names: Sequence[str]) -> str:
    """Write names in a row: `PIQA, BoolQ and ARC-e`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
