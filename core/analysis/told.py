"""Paired differences as people read them: figures for a cell, and a sentence of what can be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from core import words

CLOSE = 0.1  # ratios all this near to 1 need another digit


def figures(row: Mapping[Any, Any]) -> str:
    """Write a row of `of_pairs` with its 95 % interval: accuracies in points, `-3.1 [-4.6, -1.6]`, perplexities as a
    ratio, `x 1.93 [1.88, 1.98]`. Empty where the pair could not be made.
    """
    if pd.isna(row["verdict"]):
        return ""
    if row["metric"] == "perplexity":
        value, *bounds = (row[name] for name in ("ratio", "ratio_low", "ratio_high"))
        known = [one for one in (value, *bounds) if not pd.isna(one)]
        decimals = 3 if all(abs(one - 1) < CLOSE for one in known) else 2
        return "x " + _with_interval([_ratio(one, decimals) for one in known])
    known = [row[name] for name in ("difference", "low", "high")]
    return _with_interval([f"{round(100 * one, 1) + 0.0:+.1f}" for one in known if not pd.isna(one)])


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
    parts = [(verdict, _list(groups[verdict])) for verdict in ("better", "worse") if verdict in groups]
    told = " and ".join(
        f"{verdict} in {where}" if place else f"{one} is {verdict} than {other} in {where}"
        for place, (verdict, where) in enumerate(parts)
    )
    none = "no difference can be told"
    rest = [f"{none} in {_list(groups[none])}"] if none in groups else []
    reasons = [why for why in groups if why not in ("better", "worse", none)]
    rest += [f"{_list(groups[why])} {why.rstrip('.')}" for why in reasons]
    return ("; ".join([told, *rest]) if told else f"Of {one} and {other}, {'; '.join(rest)}") + "."


def _with_interval(texts: Sequence[str]) -> str:
    return texts[0] + (f" [{', '.join(texts[1:])}]" if len(texts) > 1 else "") if texts else "not a number"


def _ratio(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if value < 100 else words.number(value)


def _list(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
