"""Paired differences as people read them: figures for a cell, and a sentence of what can be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from core import words

CLOSE = 0.1  # ratios all this near to 1 need another digit


def figures(row: Mapping[str, Any]) -> str:
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


def said(row: Mapping[str, Any]) -> str:
    """Return the verdict of a row, or why there is none."""
    return row["why"] if pd.isna(row["verdict"]) else row["verdict"]


def sentence(names: Sequence[str], verdicts: Sequence[str | None], one: str, other: str) -> str:
    """Say which numbers of `one` are better or worse than those of `other`, and which cannot be told or paired.

    `names` are the numbers', each with its verdict, None where the pair could not be made.
    """
    groups: dict[str | None, list[str]] = {}
    for name, verdict in zip(names, verdicts, strict=True):
        groups.setdefault(verdict, []).append(name)
    parts = [(verdict, _list(groups[verdict])) for verdict in ("better", "worse") if verdict in groups]
    told = " and ".join(
        f"{verdict} in {where}" if place else f"{one} is {verdict} than {other} in {where}"
        for place, (verdict, where) in enumerate(parts)
    )
    if unknown := groups.get("no difference can be told"):
        alone = f"no difference between {one} and {other} can be told in {_list(unknown)}"
        told = f"{told}; no difference can be told in {_list(unknown)}" if told else alone
    if unpaired := groups.get(None):
        alone = f"{one} and {other} cannot be paired in {_list(unpaired)}"
        told = f"{told}; {_list(unpaired)} cannot be paired" if told else alone
    return f"{told[0].upper()}{told[1:]}."


def _with_interval(texts: Sequence[str]) -> str:
    return texts[0] + (f" [{', '.join(texts[1:])}]" if len(texts) > 1 else "") if texts else "not a number"


def _ratio(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if value < 100 else words.number(value)


def _list(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
