"""What there is to choose among tidy rows (`core.analysis.frame`), first what is shown at first, and its rows."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import pandas as pd

from core.chain import DENSE
from core.registry import RECONSTRUCTIONS, RECOVERIES
from core.request.stages import WHOLE_BITS
from core.specs import EXTERNAL
from dashboard.charts.figures import BITS, Axis
from dashboard.charts.missing import is_training_free
from dashboard.charts.zeroshot import scored
from dashboard.sharing import shared

TEXT_COLUMNS = ("window", "windows", "spread_windows", "protocol")  # of what a perplexity was measured on
MAX_HIGHLIGHTED = 6  # series that are told apart at a glance, also without their colours
FOLLOWERS = {stage.name: stage.label for stage in (*RECONSTRUCTIONS, *RECOVERIES)}


def texts(frame: pd.DataFrame, here: str | None = None) -> dict[str, tuple[str, str]]:
    """Return the perplexity protocols in the frame: what users read -> (corpus, protocol id).

    First the one with most points whose accuracies are known, so that a curve and the accuracies under it are of the
    same models; then the corpus that is `here`, then the one with most points.
    """
    few = frame[["key", "dataset", *TEXT_COLUMNS, "protocol_id"]]
    rows = few[(frame["metric"] == "perplexity") & frame["window"].notna()]  # LAMBADA's own has none
    rows = rows.assign(known=rows["key"].isin(scored(frame)))
    protocols = rows.groupby(["dataset", "protocol_id"]).agg(
        known=("known", "sum"), size=("key", "size"), **{name: (name, "first") for name in TEXT_COLUMNS}
    )
    ranked = protocols.reset_index().to_dict("records")
    ranked.sort(
        key=lambda one: (-one["known"], one["dataset"] != here, -one["size"], one["dataset"], one["protocol_id"])
    )
    found: dict[str, tuple[str, str]] = {}
    for one in ranked:
        name = text_name(one["dataset"], one["window"], one["windows"], one["spread_windows"])
        while name in found:  # the same text and windows in another dtype or version
            name += f" ({one['protocol']})"
        found[name] = one["dataset"], one["protocol_id"]
    return found


def text_name(corpus: str, window: float, windows: float | None, spread: bool = False) -> str:
    """Write what a perplexity was measured on: `wikitext2, 16 x 2048 tokens`, and `spread over the text` where so."""
    count = "all" if windows is None or pd.isna(windows) else int(windows)
    return f"{corpus}, {count} x {int(window)} tokens" + " spread over the text" * spread


@shared
def on_text(rows: pd.DataFrame, corpus: str | None, protocol: str | None) -> pd.DataFrame:
    """Return the perplexities on a corpus that were measured by the protocol with this id."""
    return rows[(rows["metric"] == "perplexity") & (rows["dataset"] == corpus) & (rows["protocol_id"] == protocol)]


@shared
def calibrations(rows: pd.DataFrame, known: Collection[str] = ()) -> list[str]:
    """Return the calibration sets of the rows: the one with most points among the keys `known`, then with most."""
    return _by_points(rows, "calibration", known)


@shared
def trainings(rows: pd.DataFrame, known: Collection[str] = ()) -> list[str]:
    """Return the training texts of the rows, in the order of `calibrations`."""
    return _by_points(rows, "train", known)


def _by_points(rows: pd.DataFrame, kind: str, known: Collection[str]) -> list[str]:
    counts = rows[[kind]].assign(known=rows["key"].isin(known)).groupby(kind)["known"].agg(["sum", "size"])
    ranked = {str(text): (most, size) for text, most, size in counts.itertuples(name=None)}
    return sorted(ranked, key=ranked.__getitem__, reverse=True)


@shared
def filter_by_text(rows: pd.DataFrame, calibration: str | None, training: str | None) -> pd.DataFrame:
    """Return the rows of variants that read no other calibration text than this and were trained on no other text.

    Those whose stages differ in their texts, which their labels say, are among them.
    """
    read, trained = rows["calibration"], rows["train"]
    return rows[(read.isna() | (read == calibration)) & (trained.isna() | (trained == training))]


def filter_by_main_text(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `made_with` of the texts with most points."""
    return filter_by_text(rows, *(next(iter(texts), None) for texts in (calibrations(rows), trainings(rows))))


def by_share(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of variants that a share of the block weights tells apart: neither bits a weight nor how many
    times smaller the embedding is are on one axis with it, nor is a share of some layers only.
    """
    return rows[~rows["rounded"].astype(bool) & (rows["ratio_kind"] != "embedding") & rows["layers"].isna()]


def of_methods(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of what methods made, which a model's file as it was is not."""
    return rows[~rows["own_grid"].astype(bool)]


@shared
def curved(rows: pd.DataFrame, axis: Axis) -> pd.DataFrame:
    """Return the rows of variants that have a place on a curve; where it is `of_bits`, also of those not `by_share`.

    By the bits of the blocks' weights nothing is told of what made only the embedding smaller.
    """
    if not axis.of_bits:
        return by_share(rows)
    found = of_methods(rows)
    of_embedding = (found["rounded"].astype(bool) | (found["ratio_kind"] == "embedding")) & (
        found["bits_per_weight"] == WHOLE_BITS
    )
    return found[~of_embedding] if axis == BITS else found


@shared
def shown(rows: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Return the rows of these methods, and of what no method is chosen for: dense, imported, the papers'."""
    return rows[rows["method"].isin([*methods, DENSE, *EXTERNAL])]


@shared
def default_series(points: pd.DataFrame) -> list[str]:
    """Return the series that are shown in colour at first: `MAX_HIGHLIGHTED`, or all where there are no more.

    First the methods alone, with no parameter changed; then, by what followed them, such as LoRA, all of a kind as long
    as they fit; then, as long, the methods that train; last methods with parameters changed. Of too many those with the
    lowest perplexities at the amount that most have.
    """
    there = points.drop_duplicates("series").set_index("series")
    several = there["open"].str.contains("+", regex=False)
    training = ~several & ~there["open"].map(is_training_free)
    changed = ~several & ~training & there["open"].str.contains(",", regex=False)
    value = points[points["where"] == points["where"].mode().iloc[0]].groupby("series")["value"].min()

    def lowest(which: pd.Series, most: int) -> list[str]:
        return sorted(map(str, there.index[which]), key=lambda series: value.get(series, math.inf))[:most]

    lit, chosen = set(lowest(~several & ~training & ~changed, MAX_HIGHLIGHTED)), set[str]()
    for name in FOLLOWERS:
        kinds = {series: set(parts.split("+")) & set(FOLLOWERS) for series, parts in there["parts"][several].items()}
        more = lit | {str(series) for series, kind in kinds.items() if kind and kind <= chosen | {name}}
        if len(more) <= MAX_HIGHLIGHTED:
            lit, chosen = more, chosen | {name}
    if len(lit) + training.sum() <= MAX_HIGHLIGHTED:
        lit |= set(there.index[training])
    lit |= set(lowest(changed, MAX_HIGHLIGHTED - len(lit)))
    return [series for series in there.index if series in lit]
