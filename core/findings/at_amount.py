"""The best variants of a curve at an amount, with their ties, their accuracy, and a smaller and better variant."""

import math
from collections.abc import Collection
from typing import NamedTuple, Protocol

import pandas as pd

from core.findings.best.answer import (
    MOST_TESTED,
    Best,
    Escape,
    Winner,
    answer,
    find_best,
    find_smaller,
    headline,
    smaller,
    times_words,
)
from core.findings.numbers.seven import ABOVE_CHANCE
from core.findings.numbers.verdicts import SIGNIFICANT
from core.findings.pairs import paired
from core.findings.reading import Reader
from core.findings.rows import choices, points, zeroshot
from core.findings.sharing import shared
from core.findings.within import numbers_of
from core.notation.formatting import capitalise
from core.specs import EXTERNAL


class Drawn(Protocol):
    """The rows of a curve, such as the choices in a page's sidebar."""

    @property
    def model(self) -> str:
        """Display name of the model."""

    @property
    def corpus(self) -> str | None:
        """Corpus of the perplexities."""

    @property
    def protocol(self) -> str | None:
        """Id of their protocol."""

    @property
    def calibration(self) -> str | None:
        """Calibration data of the variants."""

    @property
    def training(self) -> str | None:
        """Training data of the variants."""

    @property
    def measured(self) -> pd.DataFrame:
        """Tidy perplexities."""

    @property
    def scores(self) -> pd.DataFrame:
        """Tidy accuracies on some documents."""


class Scored(NamedTuple):
    """Mean accuracies at every amount, and the paired differences to dense of means and tasks."""

    means: pd.DataFrame
    differences: pd.DataFrame

    @property
    def mean_differences(self) -> pd.DataFrame:
        """The differences of the means above chance."""
        return self.differences[self.differences["dataset"] == ABOVE_CHANCE]


class Smaller(NamedTuple):
    """The sentence on a smaller and better variant of another family, and the rows to show for it."""

    sentence: str
    label: str  # of the link to it
    rows: pd.DataFrame  # of this variant and of the winners
    families: list[str]  # their families


@shared
def score(drawn: Drawn, series: Collection[str], reader: Reader) -> Scored:
    """Return the mean accuracies of all variants, and the differences to dense of these series."""
    return Scored(zeroshot.means_above_chance(drawn.scores), differences_to_dense(drawn.scores, series, reader))


def differences_to_dense(rows: pd.DataFrame, series: Collection[str], reader: Reader) -> pd.DataFrame:
    """Return the paired differences to the dense model of these series' variants, for each number in the rows."""
    rows = rows[points.is_dense(rows) | rows["series_label"].isin(series)]
    return reader.paired(points.by_seed(rows[~points.is_dense(rows)]), points.dense_key(rows), numbers_of(rows))


@shared
def best_at(drawn: Drawn, dense: pd.DataFrame, found: pd.DataFrame, at: str) -> Best | None:
    """Return the best of the points `found` at an amount; None without any.

    A variant whose ratio is that of some layers only is not at this amount, and one on the grid of the model's own
    file was not compressed.
    """
    rows = drawn.measured
    others = rows.loc[rows["own_grid"].astype(bool) | rows["layers"].notna(), "key"]
    here = points.rows_at(found, at)
    return find_best(here[~here["key"].isin(others)], dense)


@shared
def answer_at(
    drawn: Drawn,
    dense: pd.DataFrame,
    found: pd.DataFrame,
    best: Best,
    at: str,
    perplexities: pd.DataFrame,
    scored: Scored,
    reader: Reader,
    escape: Escape,
) -> str:
    """Return the answer in Markdown: the best of the points `found` at an amount.

    Args:
        drawn: The rows of the curve.
        dense: The dense model's point, or no row.
        found: Points of the curve.
        best: `best_at` of these.
        at: The amount.
        perplexities: Paired differences to dense of the winners' series.
        scored: Their accuracies.
        reader: Reads results and their outcomes.
        escape: Escapes a name for Markdown.
    """
    here, base = points.rows_at(found, at), points.dense_key(drawn.scores)
    winners = []
    for key in best.keys:
        point = here[here["key"] == key]
        first = point.iloc[0]
        means = scored.means[
            (scored.means["series_label"] == first["series_label"]) & (scored.means["amount_label"] == at)
        ]
        lost, unpaired = None, math.nan
        if len(means):
            unpaired = means["mean"].mean() - scored.means.loc[scored.means["key"] == base, "mean"].mean()
            lost = paired.of_points(scored.mean_differences, point.assign(seeds=len(means))).iloc[0]
        ratio = paired.of_points(perplexities, point).iloc[0]
        winners.append(Winner(first, ratio, _ties(drawn, here, best, key, reader), lost, unpaired))
    known = dense.iloc[0] if len(dense) else None
    return answer(drawn.model, at, best, winners, known, escape)


@shared
def headline_at(dense: pd.DataFrame, found: pd.DataFrame, best: Best, at: str, perplexities: pd.DataFrame) -> str:
    """Return the finding at an amount as one plain sentence; the arguments are as of `answer_at`."""
    point = found[found["key"] == best.overall]
    first = Winner(point.iloc[0], paired.of_points(perplexities, point).iloc[0])
    return headline(at, best, first, dense.iloc[0] if len(dense) else None)


def _ties(drawn: Drawn, here: pd.DataFrame, best: Best, key: str, reader: Reader) -> list[str]:
    """Return the series without a significant loss difference to a winner, Holm-adjusted over those that it beats."""
    beaten = here[here["key"].isin(best.beaten_by(key))].sort_values("value", kind="stable").head(MOST_TESTED)
    seeds = points.seeds_of(drawn.measured)
    found = reader.paired([seeds[one] for one in beaten["key"]], seeds[key], numbers_of(drawn.measured))
    tied = found.loc[found["verdict"].notna() & ~found["verdict"].isin(SIGNIFICANT), "key"]
    return list(beaten.loc[beaten["key"].isin(tied), "series_label"])


@shared
def smaller_at(
    drawn: Drawn, dense: pd.DataFrame, rows: pd.DataFrame, best: Best, reader: Reader, escape: Escape
) -> Smaller | None:
    """Return the best variant of another family that is smaller than the winner, with a significantly lower loss.

    Args:
        drawn: The rows of the curve.
        dense: The dense model's point, or no row.
        rows: All tidy rows of the model.
        best: The best at the amount.
        reader: Reads results and their outcomes.
        escape: Escapes a name for Markdown.
    """
    rows = choices.of_methods(choices.on_text(rows, drawn.corpus, drawn.protocol))
    calibration, training = (
        text or next(iter(others), None)
        for text, others in (
            (drawn.calibration, choices.calibrations(rows)),
            (drawn.training, choices.trainings(rows)),
        )
    )
    rows = choices.filter_by_text(rows, calibration, training)
    rows = rows[~points.is_dense(rows) & ~rows["method"].isin(EXTERNAL)]
    if best.overall not in set(rows["key"]):
        return None
    families = rows.drop_duplicates("key").set_index("key")["family"]
    every = points.collapse(rows)
    every = every.assign(family=every["key"].map(families))
    winner = every[every["key"] == best.overall].iloc[0]
    better = find_smaller(every, winner, winner["family"])
    seeds, numbers = points.seeds_of(rows), numbers_of(drawn.measured)
    found = reader.paired([seeds[key] for key in better["key"]], seeds[best.overall], numbers)
    clearly = better[better["key"].isin(found.loc[found["verdict"] == SIGNIFICANT[0], "key"])]
    if clearly.empty:
        return None
    first = clearly.iloc[[0]]
    key, family = first["key"].iloc[0], str(first["family"].iloc[0])
    known = dense.iloc[0] if len(dense) else None
    to_dense = reader.paired([seeds[key]], points.dense_key(drawn.measured), numbers)
    named = Winner(first.iloc[0], paired.of_points(to_dense, first).iloc[0])
    shown = rows[rows["key"].isin([key, *best.keys])]
    label = f"{capitalise(family)}: {first['packed_mb'].iloc[0]:.0f} MB, {times_words(named, known)}"
    return Smaller(smaller(named, family, known, escape), label, shown, list(dict.fromkeys(shown["family"])))
