"""Explore's answer in words: the best of the drawn variants at an amount, with and without training."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pandas as pd

from core.findings.best.budget import meaningful
from core.findings.numbers.reporting import UNADJUSTED, end_words, interval_words, listed, point_words, ratio_words
from core.findings.numbers.verdicts import SIGNIFICANT
from core.findings.rows.missing import is_training_free
from core.notation.formatting import capitalise, format_number
from core.specs import EXTERNAL

MOST_TIED = 3  # series named as not significantly different, at most
MOST_TESTED = 30  # variants, those of the lowest perplexity, that are tested against another one
TRAINED, UNTRAINED = "with training", "without training"
Escape = Callable[[str], str]  # of a name, for Markdown


class Best(NamedTuple):
    """The best of the variants at an amount: keys of points."""

    kinds: dict[str, str | None]  # TRAINED, UNTRAINED or None (unknown) of each variant, the best first
    diverged: bool  # whether even the best diverged

    @property
    def overall(self) -> str:
        """The best of all variants."""
        return next(iter(self.kinds))

    @property
    def of_kind(self) -> dict[str, str]:
        """The best of each kind that is among the variants."""
        return {kind: key for key, kind in reversed(self.kinds.items()) if kind}

    @property
    def keys(self) -> list[str]:
        """The winners, the best first, each once."""
        return list(dict.fromkeys((self.overall, *self.of_kind.values())))

    def beaten_by(self, winner: str) -> list[str]:
        """Return the variants that a winner beats: all others, or those of its kind."""
        kind = self.kinds[winner]
        return [key for key, one in self.kinds.items() if key != winner and (winner == self.overall or one == kind)]


class Winner(NamedTuple):
    """A point to name, and its numbers."""

    point: pd.Series
    ratio: pd.Series  # paired difference to dense in perplexity (`paired.of_points`)
    ties: Sequence[str] = ()  # series that do not differ significantly from it, after Holm's correction
    lost: pd.Series | None = None  # as `ratio`, in mean accuracy; None if that is not measured
    unpaired: float = math.nan  # the difference in mean accuracy without a pair


def find_best(here: pd.DataFrame, dense: pd.DataFrame) -> Best | None:
    """Return the points with the lowest perplexity, overall and of each kind; None without any.

    `here` are points (`points.collapse`) at one amount; `dense` is the dense model's point, or no row.
    """
    rows = here.sort_values("value", kind="stable")
    if rows.empty:
        return None
    kinds = {row["key"]: _kind(row["method"], row["chain"]) for row in rows.to_dict("records")}
    base = math.nan if dense.empty else dense["value"].iloc[0]
    return Best(kinds, not rows["value"].iloc[0] <= float(meaningful(base)))


def _kind(method: str, chain: str) -> str | None:
    """Return TRAINED or UNTRAINED; None for results of others, which do not state it."""
    return None if method in EXTERNAL else UNTRAINED if is_training_free(chain) else TRAINED


def find_smaller(every: pd.DataFrame, winner: pd.Series, family: str) -> pd.DataFrame:
    """Return the points of other families that are smaller than a winner and have a lower perplexity, best first.

    `every` are the points of all families with `family`, without those on the grid of the model's own file.
    """
    smaller = (every["packed_mb"] < winner["packed_mb"]) & (every["family"] != family)
    better: pd.DataFrame = every[smaller & (every["value"] < winner["value"])].sort_values("value", kind="stable")
    return better.head(MOST_TESTED)


def answer(model: str, at: str, best: Best, winners: Sequence[Winner], dense: pd.Series | None, escape: Escape) -> str:
    """Return the answer in Markdown: the best variant, then the best of the other kind.

    `winners` are the variants of `best.keys`, in this order. `escape` escapes a name for Markdown.
    """
    first, *others = winners
    compared, kind = len(best.kinds), best.kinds[best.overall]
    start = f"{escape(model)}{_condition(at)}"
    if kind and compared > 1:
        start += f", {kind}"
    numbers = _times(first, dense, True)
    if best.diverged:
        who = f"all {compared} variants diverged" if compared > 1 else "the only variant diverged"
        return f"{start}: {who}. **{escape(first.point['series_label'])}** has the lowest perplexity: {numbers}."
    lowest = f"has the lowest perplexity of {compared} variants" if compared > 1 else "is the only variant"
    text = f"{start}: **{escape(first.point['series_label'])}** {lowest}, {numbers}{_tied(first, escape)}. "
    text += f"{_accuracy(first, True)}{_size(first, dense)}"
    for winner in others:
        kind = best.kinds[winner.point["key"]]
        text += f"  \n{capitalise(str(kind))}: **{escape(winner.point['series_label'])}**, {_times(winner, dense)}"
        text += f"{_tied(winner, escape)}. {_accuracy(winner)}"
        if _size(winner, None) != _size(first, None):
            text += _size(winner, None)
    lacking = [kind for kind in (TRAINED, UNTRAINED) if kind not in best.of_kind]
    if compared > 1 and lacking and None not in best.kinds.values():
        text += f"  \nNo variant {lacking[0]} is measured here."
    return text


def headline(at: str, best: Best, first: Winner, dense: pd.Series | None) -> str:
    """Return the finding at an amount as one plain sentence; the arguments are as of `answer`."""
    start = f"At {at} pruning" if "%" in at else capitalise(_condition(at).lstrip(" ,"))
    if best.diverged:
        return f"{start}, every variant shown diverges"
    name = first.point["series_label"]
    if dense is None:
        return f"{start}, {name} has a perplexity of {format_number(first.point['value'])}"
    return f"{start}, {name} has {times_words(first, dense).removesuffix('dense')}the dense perplexity"


def times_words(winner: Winner, dense: pd.Series | None) -> str:
    """Return the perplexity of a variant as a multiple of dense, such as `1.52 times dense`."""
    if dense is None:
        return format_number(winner.point["value"])
    ratio = winner.ratio["ratio"] if winner.ratio["paired"] else winner.point["value"] / dense["value"]
    return f"{ratio_words(ratio)} times dense"


def smaller(found: Winner, family: str, dense: pd.Series | None, escape: Escape) -> str:
    """Return the sentence in Markdown on a smaller and better variant of another family."""
    point = found.point
    size = f"{point['packed_mb']:.0f} MB"
    return f"Smaller and better: **{escape(point['name'])}** ({family}), {size}, {_times(found, dense)}."


def elsewhere(winners: Sequence[Winner], escape: Escape) -> str:
    """Return the sentence in Markdown on points of other texts (`other_texts`)."""
    dense = pd.Series({"value": 1.0})
    named = [f"**{escape(one.point['series_label'])}**, {_times(one, dense)}" for one in winners]
    return f"On other texts, relative to their own dense model: {'; '.join(named)}."


def _condition(at: str) -> str:
    """Return the part of a sentence after the model's name that states an amount."""
    if "%" in at:
        return f" at a pruning ratio of {at}"
    if at.endswith("x"):
        return f" with the embedding {at[:-1]} times smaller"
    if "bit" in at:
        return f" at {at}s per weight"
    return f" with {at} sparsity" if ":" in at else f", {at}"


def on_each(at: str, found: pd.DataFrame) -> str:
    """Return one sentence in Markdown on the best series at an amount on each model (`multiples.multiples`)."""
    here = found[found["amount_label"] == at]
    best = here.loc[here.groupby("model", sort=False)["value"].idxmin()]
    rows = list(best[["of", "model", "value"]].itertuples(index=False))
    start = capitalise(_condition(at).lstrip(" ,"))
    if best["of"].nunique() == 1:
        times = listed([f"{ratio_words(value)} times dense on {model}" for _, model, value in rows])
        return f"{start}, **{rows[0].of}** has the lowest perplexity shown: {times}."
    each = listed([f"**{of}** on {model} ({ratio_words(value)} times dense)" for of, model, value in rows])
    return f"{start}, the lowest perplexities shown are of {each}."


def tied(names: Sequence[str]) -> str:
    """Return the part of an answer that names the series that do not differ significantly from the best."""
    named = ", ".join(names[:MOST_TIED]) + (f" and {len(names) - MOST_TIED} more" if len(names) > MOST_TIED else "")
    return f"not significantly different from {named} (Holm-adjusted)"


def _tied(winner: Winner, escape: Escape) -> str:
    return f", {tied([escape(name) for name in winner.ties])}" if winner.ties else ""


def _times(winner: Winner, dense: pd.Series | None, first: bool = False) -> str:
    """Return the multiple of dense with its interval, which has its name if it is the `first` of the answer."""
    ratio, words = winner.ratio, times_words(winner, dense)
    if dense is None:
        return words
    if not ratio["paired"]:
        return f"{words}, without an interval"
    return words + _interval(interval_words(ratio["ratio_low"], ratio["ratio_high"], ratio_words), first)


def _accuracy(winner: Winner, first: bool = False) -> str:
    lost = winner.lost
    points = "points relative to dense" if first else "points"
    if lost is None:
        return "Accuracy above chance: not measured yet."
    if not lost["paired"]:
        if math.isnan(winner.unpaired):
            return "Accuracy above chance: not comparable with dense."
        return f"Accuracy above chance: {point_words(winner.unpaired)} {points}, without an interval."
    interval = _interval(interval_words(lost["low"], lost["high"], end_words), False)
    text = f"Accuracy above chance: {point_words(lost['difference'])} {points}{interval}"
    return f"{text}." if lost["verdict"] in SIGNIFICANT else f"{text}, {lost['verdict_text']}."


def _size(winner: Winner, dense: pd.Series | None) -> str:
    packed = winner.point["packed_mb"]
    if pd.isna(packed):  # imported without a size
        return ""
    base = "" if dense is None else f" (dense: {dense['packed_mb']:.0f} MB)"
    return f" Packed size: {packed:.0f} MB{base}."


def _interval(interval: str | None, named: bool) -> str:
    return f" ({UNADJUSTED} {interval})" if interval and named else f" {interval}" if interval else ""
