"""Choices that tidy rows (`core.analysis.frame`) offer, the default first, and the rows of a choice."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import pandas as pd

from core.amount import WHOLE_BITS
from core.data.texts import called
from core.notation.chain import DENSE
from core.registry import RECONSTRUCTIONS, RECOVERIES
from core.specs import EXTERNAL, OUTSIDE_BLOCKS
from dashboard.charts.elements.figures import BITS, Axis
from dashboard.charts.frames.answer import find_best
from dashboard.charts.frames.missing import is_training_free
from dashboard.charts.frames.points import amounts, first_amount, rows_at
from dashboard.charts.frames.zeroshot import scored
from dashboard.sharing import shared

TEXT_COLUMNS = ("window", "windows", "spread_windows", "protocol")  # describe the evaluation data of a perplexity
MAX_HIGHLIGHTED = 6  # series that readers can distinguish, also without colours
FOLLOWERS = {stage.name: stage.label for stage in (*RECONSTRUCTIONS, *RECOVERIES)}


@shared
def texts(frame: pd.DataFrame, here: str | None = None) -> dict[str, tuple[str, str]]:
    """Return the perplexity protocols in the frame: display name -> (corpus, protocol id).

    The first has most points with known accuracies, so that a curve and the accuracies below it show the same models.
    Ties go to the corpus `here`, then to the protocol with most points.
    """
    few = frame[["key", "dataset", *TEXT_COLUMNS, "protocol_id"]]
    rows = few[(frame["metric"] == "perplexity") & frame["window"].notna()]  # LAMBADA's perplexity has none
    rows = rows.assign(known=rows["key"].isin(scored(frame)))
    protocols = rows.groupby(["dataset", "protocol_id"]).agg(
        known=("known", "sum"), size=("key", "size"), **{name: (name, "first") for name in TEXT_COLUMNS}
    )
    ranked = protocols.reset_index().to_dict("records")
    ranked.sort(
        key=lambda one: (-one["known"], one["dataset"] != here, -one["size"], one["dataset"], one["protocol_id"])
    )
    named: dict[str, tuple[str, str]] = {}
    for one in ranked:
        name = text_name(one["dataset"], one["window"], one["windows"], one["spread_windows"])
        while name in named:  # the same corpus and windows with another dtype or version
            name += f" ({one['protocol']})"
        named[name] = one["dataset"], one["protocol_id"]
    return named


def text_name(corpus: str, window: float, windows: float | None, spread: bool = False) -> str:
    """Name the windows of a perplexity, for pickers and links: `WikiText-2, 16 x 2048 tokens spread over the text`."""
    count = "all" if windows is None or pd.isna(windows) else int(windows)
    return f"{called(corpus)}, {count} x {int(window)} tokens" + " spread over the text" * spread


def current_text_name(name: str) -> str:
    """Return `text_name` for a name with the id of a corpus, as in links from version 0.2.0."""
    corpus, comma, windows = name.partition(",")
    return called(corpus) + comma + windows


@shared
def on_text(
    rows: pd.DataFrame, corpus: str | None, protocol: str | None, metrics: Sequence[str] = ("perplexity",)
) -> pd.DataFrame:
    """Return the perplexities on a corpus under one protocol, or its rows of other metrics."""
    return rows[rows["metric"].isin(metrics) & (rows["dataset"] == corpus) & (rows["protocol_id"] == protocol)]


@shared
def calibrations(rows: pd.DataFrame, known: Collection[str] = ()) -> list[str]:
    """Return the calibration data of the rows, sorted by points among the keys `known`, then by all points."""
    return _by_points(rows, "calibration", known)


@shared
def trainings(rows: pd.DataFrame, known: Collection[str] = ()) -> list[str]:
    """Return the training data of the rows, in the order of `calibrations`."""
    return _by_points(rows, "train", known)


def _by_points(rows: pd.DataFrame, kind: str, known: Collection[str]) -> list[str]:
    counts = rows[[kind]].assign(known=rows["key"].isin(known)).groupby(kind)["known"].agg(["sum", "size"])
    ranked = {str(text): (most, size) for text, most, size in counts.itertuples(name=None)}
    return sorted(ranked, key=ranked.__getitem__, reverse=True)


@shared
def filter_by_text(rows: pd.DataFrame, calibration: str | None, training: str | None) -> pd.DataFrame:
    """Return the rows of variants without other calibration or training data.

    Variants whose stages use different data are included; their labels name the data.
    """
    calibrated, trained = rows["calibration"], rows["train"]
    return rows[(calibrated.isna() | (calibrated == calibration)) & (trained.isna() | (trained == training))]


def filter_by_main_text(rows: pd.DataFrame) -> pd.DataFrame:
    """Return `filter_by_text` for the calibration and training data with most points."""
    return filter_by_text(rows, *(next(iter(texts), None) for texts in (calibrations(rows), trainings(rows))))


def by_share(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of variants that differ by the pruning ratio of the whole model.

    Bits per weight, factors of the embedding and ratios of some layers only do not share its axis.
    """
    return rows[~rows["rounded"].astype(bool) & ~rows["ratio_kind"].isin(OUTSIDE_BLOCKS) & rows["layers"].isna()]


def of_methods(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of variants that a method made, without models whose own file is quantised."""
    return rows[~rows["own_grid"].astype(bool)]


@shared
def curved(rows: pd.DataFrame, axis: Axis) -> pd.DataFrame:
    """Return the rows of variants that have a place on an axis; if it is `of_bits`, also those not `by_share`.

    On the axis of bits per block weight, variants that compress no block weights have no place.
    """
    if not axis.of_bits:
        return by_share(rows)
    found = of_methods(rows)
    whole = found["bits_per_weight"] == WHOLE_BITS
    outside = whole & (found["rounded"].astype(bool) | found["ratio_kind"].isin(OUTSIDE_BLOCKS))
    return found[~outside] if axis == BITS else found


@shared
def shown(rows: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Return the rows of these methods, and those without a method to choose: dense, imported, published."""
    return rows[rows["method"].isin([*methods, DENSE, *EXTERNAL])]


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
