"""Explore's answer in words: the best of the shown series at an amount, and its distance to dense."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from core.analysis.reporting import UNADJUSTED, end_words, interval_words, listed, point_words, ratio_words
from core.analysis.verdicts import SIGNIFICANT
from core.notation.formatting import format_number

MOST_TIED = 3  # series named as not significantly different, at most


def answer(
    at: str,
    best: pd.Series,
    ties: Sequence[str],
    ratio: pd.Series,
    lost: pd.Series | None,
    dense: pd.Series | None,
    plainly: float = math.nan,
) -> str:
    """Return the answer in Markdown.

    Args:
        at: The amount.
        best: The point with the lowest perplexity at the amount.
        ties: Series that do not differ significantly from it, after Holm's correction.
        ratio: Its paired difference to dense (`paired.of_points`) in perplexity.
        lost: The same in mean accuracy; None if that is not measured.
        dense: The dense model's point, if known.
        plainly: The unpaired difference in mean accuracy, for when there is no pair.
    """
    text = f"{_condition(at)}, **{best['series_label']}** has the lowest perplexity shown: {_times(best, ratio, dense)}"
    text += f", {tied(ties)}. " if ties else ". "
    text += _accuracy(lost, plainly)
    if pd.isna(best["packed_mb"]):  # imported without a size
        return text
    base = "" if dense is None else f" (dense: {dense['packed_mb']:.0f} MB)"
    return f"{text} Packed size: {best['packed_mb']:.0f} MB{base}."


def _condition(at: str) -> str:
    """Return the start of a sentence about an amount."""
    if "%" in at:
        return f"At a pruning ratio of {at}"
    if at.endswith("x"):
        return f"With the embedding {at[:-1]} times smaller"
    return f"At {at}s per weight" if "bit" in at else f"With {at} sparsity"


def on_each(at: str, found: pd.DataFrame) -> str:
    """Return one sentence in Markdown on the best series at an amount on each model (`multiples.multiples`)."""
    here = found[found["amount_label"] == at]
    best = here.loc[here.groupby("model", sort=False)["value"].idxmin()]
    rows = list(best[["of", "model", "value"]].itertuples(index=False))
    if best["of"].nunique() == 1:
        times = listed([f"{ratio_words(value)} times dense on {model}" for _, model, value in rows])
        return f"{_condition(at)}, **{rows[0].of}** has the lowest perplexity shown: {times}."
    each = listed([f"**{of}** on {model} ({ratio_words(value)} times dense)" for of, model, value in rows])
    return f"{_condition(at)}, the lowest perplexities shown are of {each}."


def tied(names: Sequence[str]) -> str:
    """Return the part of an answer that names the series that do not differ significantly from the best."""
    named = ", ".join(names[:MOST_TIED]) + (f" and {len(names) - MOST_TIED} more" if len(names) > MOST_TIED else "")
    return f"not significantly different from {named} (Holm-adjusted)"


def _times(best: pd.Series, ratio: pd.Series, dense: pd.Series | None) -> str:
    if dense is None:
        return format_number(best["value"])
    if not ratio["paired"]:
        return f"{ratio_words(best['value'] / dense['value'])} times dense"
    interval = _labelled(interval_words(ratio["ratio_low"], ratio["ratio_high"], ratio_words))
    return f"{ratio_words(ratio['ratio'])} times dense{interval}"


def _accuracy(lost: pd.Series | None, plainly: float) -> str:
    if lost is None:
        return "Mean accuracy: not measured yet."
    if not lost["paired"]:
        if math.isnan(plainly):
            return "Mean accuracy: not comparable with dense."
        return f"Mean accuracy: {point_words(plainly)} points relative to dense, without an interval."
    interval = _labelled(interval_words(lost["low"], lost["high"], end_words))
    text = f"Mean accuracy: {point_words(lost['difference'])} points relative to dense{interval}"
    return f"{text}." if lost["verdict"] in SIGNIFICANT else f"{text}, {lost['verdict_text']}."


def _labelled(interval: str | None) -> str:
    return f" ({UNADJUSTED} {interval})" if interval else ""
