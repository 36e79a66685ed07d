"""The question which method keeps perplexity lowest at an amount, and its answer: Explore's curve without its page."""

from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from core.base.errors import UserError, unknown
from core.findings.at_amount import answer_at, best_at, differences_to_dense, score
from core.findings.axes import PACKED, RATIO, Axis
from core.findings.best.highlights import default_series
from core.findings.finding import Finding
from core.findings.pairs import paired
from core.findings.reading import Reader
from core.findings.rows import choices, points, zeroshot
from core.findings.rows.choices import choose_text
from core.findings.rows.documents import first_documents
from core.registry import METHODS
from core.specs import Perplexity


class View(NamedTuple):
    """The rows of a curve (`at_amount.Drawn`), with the calibration and training data of most variants."""

    model: str
    corpus: str
    protocol: str
    calibration: str | None
    training: str | None
    axis: Axis
    measured: pd.DataFrame
    scores: pd.DataFrame


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

    Args:
        model: Display name of the model.
        rows: All its tidy rows.
        here: The usual corpus of this machine.
        reader: Reads results and their outcomes.
        family: The family; None: the first with results.
        text: The text of the perplexities; None: that of most variants with accuracies.
        at: The amount of the answer, as `format_amount` writes it; None: the usual one.

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
