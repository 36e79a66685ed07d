"""Choices that tidy rows (`core.findings.numbers.frame`) offer, the default first, and the rows of a choice."""

from collections.abc import Collection, Sequence

import pandas as pd

from core.amount import WHOLE_BITS
from core.base.errors import UserError, unknown
from core.data.texts import called
from core.findings.axes import BITS, Axis
from core.findings.rows.zeroshot import scored
from core.findings.sharing import shared
from core.notation.chain import DENSE
from core.specs import EXTERNAL, OUTSIDE_BLOCKS, Perplexity

TEXT_COLUMNS = ("window", "windows", "spread_windows", "protocol")  # describe the evaluation data of a perplexity


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


def choose_text(rows: pd.DataFrame, text: Perplexity | None, model: str, here: str) -> tuple[str, str]:
    """Return corpus and protocol id of a model's perplexities on a text, by default the first of `texts`.

    `rows` are all tidy rows of the model, and `here` is the usual corpus of this machine.

    Raises:
        UserError: The model has no perplexity, or not this one.
    """
    there = list(texts(rows, here).values())
    if not there:
        raise UserError(f"{model} has no perplexity yet; `slimscope run` measures one.")
    if text is None:
        return there[0]
    written: dict[str, tuple[str, str]] = {}
    for one in there:
        written.setdefault(str(text_of(on_text(rows, *one), one[0])), one)
    if str(text) not in written:
        raise unknown("text", str(text), written)
    return written[str(text)]


def text_name(corpus: str, window: float, windows: float | None, spread: bool = False) -> str:
    """Name the windows of a perplexity, for pickers and links: `WikiText-2, 16 x 2048 tokens spread over the text`."""
    count = "all" if windows is None or pd.isna(windows) else int(windows)
    return f"{called(corpus)}, {count} x {int(window)} tokens" + " spread over the text" * spread


def text_of(measured: pd.DataFrame, corpus: str) -> Perplexity:
    """Return the text and windows of perplexities under one protocol."""
    row = measured.iloc[0]
    windows = None if pd.isna(row["windows"]) else int(row["windows"])
    return Perplexity(corpus=corpus, window=int(row["window"]), windows=windows, spread=bool(row["spread_windows"]))


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
