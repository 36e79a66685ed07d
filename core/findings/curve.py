"""The question which method keeps perplexity lowest at an amount, and its answer: Explore's curve without its page."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from core.base.errors import UserError, unknown
from core.findings.axes import PACKED, RATIO, Axis
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
)
from core.findings.best.ranking import loss_words, part_words
from core.findings.finding import Finding, Reader
from core.findings.numbers.seven import ABOVE_CHANCE
from core.findings.numbers.verdicts import SIGNIFICANT
from core.findings.pairs import paired
from core.findings.rows import choices, points, zeroshot
from core.findings.rows.choices import choose_text
from core.findings.rows.missing import is_training_free
from core.findings.rows.points import amounts, first_amount, rows_at
from core.findings.rows.zeroshot import first_documents
from core.findings.sharing import shared
from core.findings.within import numbers_of
from core.registry import METHODS, RECONSTRUCTIONS, RECOVERIES
from core.specs import EXTERNAL, Perplexity


@dataclass(frozen=True)
class View:
    """The rows of a curve and the choices that led to them."""

    model: str  # display name
    corpus: str | None  # of the perplexities
    protocol: str | None  # id of their protocol
    calibration: str | None  # calibration data of the variants
    training: str | None  # training data of the variants
    axis: Axis
    measured: pd.DataFrame  # tidy perplexities
    scores: pd.DataFrame  # tidy accuracies on some documents


@dataclass(frozen=True, repr=False)
class Curve(Finding):
    """The best methods of a family at an amount.

    `rows` are the points of the curve (`core.findings.rows.points.collapse`), with times_dense.

    Attributes:
        view: The rows that it looked at.
        dense: The dense model's point, or no row.
        at: The amount, as `format_amount` writes it; None without any.
        winners: Keys of the best variants there: of all, and of the other kind, with or without training.
        highlighted: Series that charts name.
        multiples: The rows as multiples of dense, with intervals; None without a dense perplexity.
    """

    view: View
    dense: pd.DataFrame
    at: str | None
    winners: tuple[str, ...]
    highlighted: tuple[str, ...]
    multiples: pd.DataFrame | None = None


def curve(
    model: str,
    rows: pd.DataFrame,
    here: str,
    reader: Reader,
    family: str | None = None,
    text: Perplexity | None = None,
    at: str | None = None,
) -> Curve:
    """Draw the perplexities of a family of methods against the pruning ratio, or else against the packed size.

    `rows` are all tidy rows of the model, and `here` is the usual corpus of this machine. The default family is the
    first with results, the default text that of most variants with accuracies. `at` is an amount as `format_amount`
    writes it; None: the usual one.

    Raises:
        UserError: The model has no perplexity of this family or text, or no variant has the amount.
    """
    view = _view(model, rows, here, family, text)
    dense, found = points.split_points(view.measured)
    found = found.dropna(subset=view.axis.column)
    steps = points.amounts(found)
    if at is not None and at not in steps:
        raise unknown("amount", at, steps)
    at = at or (points.first_amount(steps) if steps else None)
    best = None if at is None else best_at(view, dense, found, at)
    base = dense["value"].iloc[0] if len(dense) else float("nan")
    found = found.assign(times_dense=found["value"] / base)
    if at is None or best is None:
        return Curve(found, f"{model} has no variant at an amount on this text.", view, dense, at, (), ())
    named = {*default_series(found), *found.loc[found["key"].isin(best.keys), "series_label"]}
    highlighted = [name for name in found["series_label"].unique() if name in named]
    differences = differences_to_dense(view.measured, highlighted, reader)
    scored = score(view, highlighted, reader)
    sentence = answer_at(view, dense, found, best, at, differences, scored, reader, str)
    drawn = paired.of_curve(differences, found)
    words = sentence.replace("**", "").replace("  \n", "\n")
    over = paired.over_dense(differences, drawn, base) if len(dense) else None
    return Curve(drawn, words, view, dense, at, tuple(best.keys), tuple(highlighted), over)


def _view(model: str, rows: pd.DataFrame, here: str, family: str | None, text: Perplexity | None) -> View:
    corpus, protocol = choose_text(rows, text, model, here)
    there = choices.of_methods(rows)["method"].unique()
    methods = [method for method in METHODS if method.takes_amount and method.name in there]
    families = list(dict.fromkeys(method.family for method in methods))
    if not families:
        raise UserError(f"{model} has no compressed variant yet; `slimscope run` makes one.")
    if family is not None and family not in families:
        raise unknown("family", family, families)
    placed = set(choices.curved(rows, RATIO)["method"])
    on_ratio = [method.family for method in methods if method.name in placed]
    family = family or next(iter(on_ratio), families[0])
    axis = RATIO if family in on_ratio else PACKED
    curved = choices.curved(rows, axis)
    names = [method.name for method in methods if method.family == family and method.name in set(curved["method"])]
    shown, known = choices.shown(choices.on_text(curved, corpus, protocol), names), zeroshot.scored(rows)
    calibration = next(iter(choices.calibrations(shown, known)), None)
    training = next(iter(choices.trainings(shown, known)), None)
    scores = choices.filter_by_text(choices.shown(curved, names), calibration, training)
    measured = choices.filter_by_text(shown, calibration, training)
    scores = first_documents(zeroshot.scored_on(scores))
    return View(model, corpus, protocol, calibration, training, axis, measured, scores)


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
def score(drawn: View, series: Collection[str], reader: Reader) -> Scored:
    """Return the mean accuracies of all variants, and the differences to dense of these series."""
    return Scored(zeroshot.means_above_chance(drawn.scores), differences_to_dense(drawn.scores, series, reader))


def differences_to_dense(rows: pd.DataFrame, series: Collection[str], reader: Reader) -> pd.DataFrame:
    """Return the paired differences to the dense model of these series' variants, for each number in the rows."""
    rows = rows[points.is_dense(rows) | rows["series_label"].isin(series)]
    return reader.paired(points.by_seed(rows[~points.is_dense(rows)]), points.dense_key(rows), numbers_of(rows))


@shared
def best_at(drawn: View, dense: pd.DataFrame, found: pd.DataFrame, at: str) -> Best | None:
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
    drawn: View,
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

    `best` is `best_at` of the points. `perplexities` are paired differences to dense of the winners' series.
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


def _ties(drawn: View, here: pd.DataFrame, best: Best, key: str, reader: Reader) -> list[str]:
    """Return the series without a significant loss difference to a winner, Holm-adjusted over those that it beats."""
    beaten = here[here["key"].isin(best.beaten_by(key))].sort_values("value", kind="stable").head(MOST_TESTED)
    seeds = points.seeds_of(drawn.measured)
    found = reader.paired([seeds[one] for one in beaten["key"]], seeds[key], numbers_of(drawn.measured))
    tied = found.loc[found["verdict"].notna() & ~found["verdict"].isin(SIGNIFICANT), "key"]
    return list(beaten.loc[beaten["key"].isin(tied), "series_label"])


@shared
def smaller_at(
    drawn: View, dense: pd.DataFrame, rows: pd.DataFrame, best: Best, reader: Reader, escape: Escape
) -> Smaller | None:
    """Return the best variant of another family that is smaller than the winner, with a significantly lower loss.

    `rows` are all tidy rows of the model.
    """
    rows = choices.of_methods(choices.on_text(rows, drawn.corpus, drawn.protocol))
    calibration, training = (
        text or next(iter(others), None)
        for text, others in ((drawn.calibration, choices.calibrations(rows)), (drawn.training, choices.trainings(rows)))
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
    size = f"{first['packed_mb'].iloc[0]:.0f} MB"
    label = f"{size}: a lower perplexity"
    if known is not None:
        part = part_words(first["packed_mb"].iloc[0] / known["packed_mb"])
        label = f"{size}, {part} of its size: {loss_words(first['value'].iloc[0] / known['value'])}"
    return Smaller(smaller(named, family, known, escape), label, shown, list(dict.fromkeys(shown["family"])))


MAX_HIGHLIGHTED = 6  # series that readers can distinguish, also without colours
FOLLOWERS = {stage.name: stage.label for stage in (*RECONSTRUCTIONS, *RECOVERIES)}


@shared
def default_series(points: pd.DataFrame) -> list[str]:
    """Return the series that are highlighted by default: at most `MAX_HIGHLIGHTED`, and the best at the first amount.

    Single methods with default parameters come first. Chains follow, all of one later stage (such as LoRA) if they fit.
    Then come methods that train, if they fit, and last methods with other parameters. If too many qualify, those with
    the lowest perplexities at the most frequent amount win.
    """
    there = points.drop_duplicates("series_label").set_index("series_label")
    several = there["series_chain"].str.contains("+", regex=False)
    training = ~several & ~there["series_chain"].map(is_training_free)
    changed = ~several & ~training & there["series_chain"].str.contains(",", regex=False)
    value = (
        points[points["amount_label"] == points["amount_label"].mode().iloc[0]].groupby("series_label")["value"].min()
    )

    def lowest(which: pd.Series, most: int) -> list[str]:
        return sorted(map(str, there.index[which]), key=lambda series: value.get(series, math.inf))[:most]

    highlighted, chosen = set(lowest(~several & ~training & ~changed, MAX_HIGHLIGHTED)), set[str]()
    for name in FOLLOWERS:
        kinds = {series: set(parts.split("+")) & set(FOLLOWERS) for series, parts in there["parts"][several].items()}
        more = highlighted | {str(series) for series, kind in kinds.items() if kind and kind <= chosen | {name}}
        if len(more) <= MAX_HIGHLIGHTED:
            highlighted, chosen = more, chosen | {name}
    if len(highlighted) + training.sum() <= MAX_HIGHLIGHTED:
        highlighted |= set(there.index[training])
    highlighted |= set(lowest(changed, MAX_HIGHLIGHTED - len(highlighted)))
    if steps := amounts(points):
        of_some_layers = points["series_chain"].str.contains(",layers=", regex=False)
        best = find_best(rows_at(points[~of_some_layers], first_amount(steps)), points[:0])
        highlighted |= set(points.loc[points["key"].isin(best.keys if best else ()), "series_label"])
    return [series for series in there.index if series in highlighted]
