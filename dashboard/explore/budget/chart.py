"""Chart of the variants of a model: a quality against a cost."""

from __future__ import annotations

from functools import partial

import pandas as pd

from core.amount import Bits, Factor
from core.data.texts import called
from core.findings.axes import Axis
from core.findings.best.budget import LIMITS, limits, winner
from core.findings.best.qualities import Quality
from core.findings.estimates import words as estimate_words
from core.findings.numbers.reporting import UNADJUSTED
from core.findings.rows import points
from core.findings.rows.points import amounts_of
from core.findings.rows.zeroshot import in_percent
from core.findings.sharing import shared
from core.findings.within import Within
from dashboard.charts import tradeoff
from dashboard.charts.tradeoff_axes import edge_words
from dashboard.explore.details import open_points
from dashboard.exports.files import Item
from dashboard.exports.pivots import Pivot
from dashboard.shared import widgets
from dashboard.shared.pickers import Chosen

CHART = "explore_tradeoff"  # key


def show_points(chosen: Chosen, dense: pd.DataFrame, answer: Within, protocol: str) -> Item:
    """Show the chart; `protocol` describes that of the perplexities."""
    found, (quality, budget, cost) = answer.rows, answer.query
    known = limits(budget)
    caption = f"{chosen.model}, variants with any calibration or training data. "
    caption += quality.caption.format(text=called(quality.corpus), protocol=protocol, documents=chosen.documents)
    caption += " Sizes are packed, at 16 bits per weight or the bits of the grid."
    explained = edge_words(found, quality, known.get(quality.drawn))
    explained += " Pareto front: no other variant is as good at the same or lower cost."
    explained += f" Bars of the front ({UNADJUSTED}): {quality.interval}."
    if (most := known.get(cost.column)) is not None:
        explained += f" Variants far above {LIMITS[cost.column].format(most)} lie beyond the right edge."
    unscored = quality.lacking if dense.empty else quality.unscored
    for column, why in ((cost.column, LIMITS[cost.column].missing), (quality.drawn, unscored)):
        if lacking := found[column].isna().sum():
            explained += f" Not drawn: {lacking} ({why})."
    if len(answer.estimates):
        explained += f" {estimate_words.drawn_words(answer.error)}"
    unused = ["key", "keys", "spread", "value", "low", "high", "scored", "ranked", "undecided", "file_mb"]
    exported = found.drop(columns=unused)
    return widgets.show_chart(
        CHART,
        partial(tradeoff.tradeoff, found, dense, answer.estimates, cost, quality, budget),
        caption,
        exported.rename(columns={"times_dense": "perplexity_ratio"}),
        file=chosen.file("trade-off"),
        pivots=pivots_of(found, cost, quality),
        alt=_alt(found, cost, quality),
        on_select=lambda points: open_points(CHART, points),
        explained=explained,
    )


@shared
def _alt(found: pd.DataFrame, cost: Axis, quality: Quality) -> str:
    """Return the chart's alternative text, which names the best variant."""
    text = f"{quality.drawn_title} against {cost.title.lower()}, a mark for each variant."
    best = winner(found)
    return text if best is None else f"{text} Best within the budget: {points.point_name(best)}."


@shared
def pivots_of(found: pd.DataFrame, cost: Axis, quality: Quality) -> list[Pivot]:
    """Return tables of quality and cost, variant by amount, separately for ratios and N:M, bits, and factors."""
    given = pd.Series(amounts_of(found), found.index, dtype=object)
    kinds = [given.map(lambda amount, kind=kind: isinstance(amount, kind)).astype(bool) for kind in (Bits, Factor)]
    name, pivots, dense = quality.column, [], points.is_dense(found)
    for part in (found[~kinds[0] & ~kinds[1]], *(found[kind | dense] for kind in kinds if kind.any())):
        order, known = points.amounts(part), part[part[name].notna()]
        good = known.assign(value=known[name], low=known[f"{name}_low"], high=known[f"{name}_high"])
        shown, form = (in_percent(good), ".1f") if quality.percent else (good, None)
        paid = part.assign(value=part[cost.column]).dropna(subset="value")
        pivots += [
            Pivot(quality.title, shown, "amount_label", quality.lower, form=form, order=order),
            Pivot(cost.title, paid, "amount_label", True, group="series_label", order=order),  # without a best value
        ]
    return pivots
