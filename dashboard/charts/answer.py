"""The answer of Explore in words: which of the series that are shown is best at an amount, and by how much."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from core.analysis.reporting import UNADJUSTED, end_words, interval_words, listed, point_words, ratio_words
from core.analysis.verdicts import SIGNIFICANT
from core.formatting import format_number

MOST_TIED = 3  # that are named


def answer(
    at: str,
    best: pd.Series,
    ties: Sequence[str],
    ratio: pd.Series,
    lost: pd.Series | None,
    dense: pd.Series | None,
    plainly: float = math.nan,
) -> str:
    """Return one sentence in Markdown.

    `best` is the point with the lowest perplexity at the amount `at`, `ties` the series that are not significantly
    different from it after Holm. `ratio` and `lost` are its paired differences to dense (`paired.of_points`), of
    perplexity and of the mean accuracy, the latter None where it was not measured. `dense` is the dense model's point,
    where there is one, and `plainly` the difference of the mean accuracies where it has no pair.
    """
    said = f"{_made(at)}, **{best['series']}** reads text best of those shown: "
    said += f"its perplexity is {_times(best, ratio, dense)}"
    if ties:
        said += f", {tied(ties)}"
    said += f", its mean accuracy {_accuracy(lost, plainly)}"
    if pd.isna(best["packed_mb"]):  # imported without it
        return f"{said}."
    instead = "" if dense is None else f" instead of {dense['packed_mb']:.0f}"
    return f"{said}, and it takes {best['packed_mb']:.0f} MB packed{instead}."


def _made(at: str) -> str:
    """Say what was done at an amount."""
    if "%" in at:
        return f"With {at} of the weights removed"
    if at.endswith("x"):
        return f"With the embedding {at[:-1]} times smaller"
    return f"Rounded to {at}s a weight" if "bit" in at else f"In the pattern {at}"


def on_each(at: str, found: pd.DataFrame) -> str:
    """Return one sentence in Markdown on what is best at the amount `at` on each model (`multiples.multiples`)."""
    here = found[found["where"] == at]
    best = here.loc[here.groupby("model", sort=False)["value"].idxmin()]
    rows = list(best[["of", "model", "value"]].itertuples(index=False))
    if best["of"].nunique() == 1:
        times = listed([f"{ratio_words(value)} times the dense perplexity on {model}" for _, model, value in rows])
        return f"{_made(at)}, **{rows[0].of}** reads text best of those shown: {times}."
    each = listed(
        [f"**{of}** on {model} ({ratio_words(value)} times the dense perplexity)" for of, model, value in rows]
    )
    return f"{_made(at)}, {each} read text best of those shown."


def tied(names: Sequence[str]) -> str:
    """Say of the best that others are not significantly different from it."""
    named = ", ".join(names[:MOST_TIED]) + (f" and {len(names) - MOST_TIED} more" if len(names) > MOST_TIED else "")
    return f"after Holm's correction not significantly different from {named}"


def _times(best: pd.Series, ratio: pd.Series, dense: pd.Series | None) -> str:
    if dense is None:
        return format_number(best["value"])
    if not ratio["paired"]:
        return f"{ratio_words(best['value'] / dense['value'])} times the dense model's"
    interval = _labelled(interval_words(ratio["ratio_low"], ratio["ratio_high"], ratio_words))
    return f"{ratio_words(ratio['ratio'])} times the dense model's{interval}"


def _accuracy(lost: pd.Series | None, plainly: float) -> str:
    if lost is None:
        return "was not measured yet"
    if not lost["paired"]:
        if math.isnan(plainly):
            return "cannot be paired with the dense model's"
        return f"is {point_words(plainly)} points from dense, where no interval is known"
    interval = _labelled(interval_words(lost["low"], lost["high"], end_words))
    figures = f"is {point_words(lost['difference'])} points from dense{interval}"
    return figures if lost["verdict"] in SIGNIFICANT else f"{figures}, {lost['verdict_text']}"


def _labelled(interval: str | None) -> str:
    return f" ({UNADJUSTED} {interval})" if interval else ""
