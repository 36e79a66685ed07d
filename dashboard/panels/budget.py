"""What fits a budget, on Explore: every variant's quality against what it takes up, limits, and what keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.analysis.budget import ACCURACY, LIMITS, PERPLEXITY, Budget, answers, ranked
from core.analysis.seven import MEAN
from core.data.texts import called
from core.formatting import label
from core.specs import parse_bits, parse_factor
from dashboard import data
from dashboard.charts import choices, points, ranking, tradeoff
from dashboard.charts.candidates import candidates, of_documents
from dashboard.charts.figures import Axis
from dashboard.exports.files import Item
from dashboard.exports.pivots import Pivot, in_percent
from dashboard.panels import widgets
from dashboard.panels.binding import BOUND
from dashboard.panels.compare import numbers_of
from dashboard.panels.details import open_point, pick_point, show_details
from dashboard.panels.laws import show_law
from dashboard.panels.literal import literal
from dashboard.panels.pickers import Chosen, Documents
from dashboard.sharing import shared

CHART, TABLE = "explore_tradeoff", "explore_ranked"  # keys
QUALITIES = {"Perplexity": PERPLEXITY, "Mean accuracy": ACCURACY}
COSTS = dict(
    zip(
        (
            *("packed size", "bits per weight", "parameters left"),
            *("time to read a token", "time to write a token", "peak memory"),
        ),
        tradeoff.COSTS,
        strict=True,
    )
)
COMPARED = 20  # of those that fit, with the best by paired tests
NO_TEXT = "no text"  # what a variant was calibrated on that read none
LEAST, MOST = 0.001, 1e9  # that a limit can be


class Field(NamedTuple):
    """An input of a limit."""

    label: str
    help: str
    step: float
    most: float = MOST


FIRST = {
    "packed_mb": Field(
        "MB packed, at most",
        "Packed size: each matrix in its smallest valid layout, at 16 bits a weight or those of its grid.",
        10.0,
    ),
    "times_dense": Field("x dense, at most", "Perplexity over that of the dense model.", 0.1),
    "decode_ms": Field("ms a token, at most", "Measured time to write a token, at batch 1.", 1.0),
    ACCURACY: Field("Accuracy (%), at least", "Mean accuracy of the seven tasks.", 1.0, 100.0),
}
MORE = {
    "bits_per_weight": Field("Bits a weight, at most", "Of the linear layers inside the blocks.", 0.5),
    "parameters": Field("M parameters, at most", "Millions that are left of the whole model.", 10.0),
    "prefill_ms": Field("ms to read, at most", "Measured time to read a token of a prompt, at batch 1.", 0.1),
    "memory_mb": Field("MB of memory, at most", "Measured peak memory, at batch 1.", 10.0),
}


class BudgetQuery(NamedTuple):
    """What is shown: a quality against a cost, within a budget."""

    quality: str
    cost: Axis
    budget: Budget


def show_tradeoff(chosen: Chosen, rows: pd.DataFrame) -> list[Item]:
    """Show which variants of a model fit a budget, and one of them in detail.

    `chosen` is of `pickers.pick`, and `rows` are all tidy rows of the model: every variant that was measured on the
    chosen text is shown, whatever its method and the texts that it was made with, unless it is filtered out.
    """
    measured = choices.on_text(rows, chosen.corpus, chosen.protocol)
    if measured.empty:
        st.info("No perplexity of this model is there yet: run one, or choose another model or text at the left.")
        return []
    with st.container(horizontal=True, vertical_alignment="bottom"):
        quality = st.segmented_control(
            "Quality", list(QUALITIES), default="Perplexity", required=True, key="explore_quality", **BOUND
        )
        cost = st.selectbox("Against", list(COSTS), key="explore_cost", width=210, **BOUND)
    scored = _scored(rows, chosen.documents)
    every = _candidates(measured, scored, [text for text in (chosen.calibration, chosen.training) if text])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        budget = _pick_budget()
        left = _filtered(every)
    if left.empty:
        st.info("The filters leave no variant.")
        return []
    asked = BudgetQuery(QUALITIES[quality], COSTS[cost], budget)
    found = _ranked(left, budget, asked.cost.column, asked.quality)
    beside = _beside_first(found, scored if asked.quality == ACCURACY else measured)
    st.markdown(ranking.answer(found, budget, asked.quality, literal, beside))
    dense = _dense(every)
    items = [_chart(chosen, found, dense, asked, measured["protocol"].iloc[0])]
    addresses = pick_point(every)
    items.append(_table(chosen, found, asked, beside))
    show_law(chosen, scored if asked.quality == ACCURACY else measured, asked.quality, items)
    show_details(every, addresses)
    return items


_candidates, _ranked = shared(candidates), shared(ranked)


@shared
def _scored(rows: pd.DataFrame, documents: Documents) -> pd.DataFrame:
    """Return the accuracies on these documents."""
    return of_documents(rows).get((documents.limit, documents.scoring), rows.iloc[:0])


@shared
def _dense(every: pd.DataFrame) -> pd.DataFrame:
    return every[points.is_dense(every)]


def _pick_budget() -> Budget:
    """Let limits be typed, the usual ones at once; an empty field is no limit."""
    given = {column: _limit(column, field) for column, field in FIRST.items()}
    with st.popover("More limits", icon=":material/tune:"):
        given |= {column: _limit(column, field) for column, field in MORE.items()}
    return Budget(**{name: limit / LIMITS[name].times for name, limit in given.items() if limit is not None})


def _limit(column: str, field: Field) -> float | None:
    return st.number_input(
        field.label,
        LEAST,
        field.most,
        None,
        field.step,
        "%g",
        key=f"explore_limit_{column}",
        help=field.help,
        placeholder="no limit",
        width=170,
        **BOUND,
    )


def _filtered(every: pd.DataFrame) -> pd.DataFrame:
    """Return the variants that the filters leave; one without a choice leaves all."""
    chosen = {}
    with st.popover("Filters", icon=":material/filter_alt:"):
        for name, column, shown in (
            ("Family", "family", str.capitalize),
            ("Method", "method", label),
            ("Training", "training", str.capitalize),
            ("Calibrated on", "calibration", str),
        ):
            values = every[column].fillna(NO_TEXT)
            key = f"explore_only_{name.split()[0].lower()}"
            there = list(dict.fromkeys(values))
            chosen[column] = st.multiselect(name, there, format_func=shown, key=key, placeholder="all", **BOUND)
    return _left(every, chosen)


@shared
def _left(every: pd.DataFrame, chosen: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return the rows with one of the values that are chosen of each column; of a column without any choice, all."""
    left = pd.Series(True, every.index)
    for column, values in chosen.items():
        if values:
            left &= every[column].fillna(NO_TEXT).isin(values)
    return every[left]


def _chart(chosen: Chosen, found: pd.DataFrame, dense: pd.DataFrame, asked: BudgetQuery, protocol: str) -> Item:
    cost, quality = asked.cost, tradeoff.quality_of(asked.quality, str(chosen.corpus))
    caption = f"{chosen.model}, variants calibrated and trained on whatever text."
    if quality.lower:
        caption += f" Perplexity on {called(str(chosen.corpus))}: {protocol}. Triangles at the upper edge are above"
        caption += f" {tradeoff.TOP_TIMES_DENSE} x dense."
    else:
        caption += f" Mean of the seven tasks, {chosen.documents}."
    caption += " Pareto front: no other variant is as good at the same cost, or at less; bars there are one standard"
    caption += " error, or the range over seeds. Hollow: N:M patterns. Sizes are packed, at 16 bits a"
    caption += " weight or those of its grid."
    for column in (cost.column, asked.quality):
        if lacking := found[column].isna().sum():
            caption += f" Not drawn: {lacking} ({LIMITS[column].missing})."
    return widgets.show_chart(
        CHART,
        partial(tradeoff.tradeoff, found, dense, cost, quality, asked.budget),
        caption,
        found.drop(columns=["key", "keys", "spread", "value"]),
        file=chosen.file("trade-off"),
        pivots=_pivots(found, cost, quality),
        alt=f"{quality.title} against {cost.title.lower()}, a mark for each variant",
        on_select=open_point,
    )


@shared
def _pivots(found: pd.DataFrame, cost: Axis, quality: tradeoff.Quality) -> list[Pivot]:
    """Return the quality and the cost as papers print them, variant by amount: what was removed, bits, factors."""
    kinds = [found["pattern"].map(parse, na_action="ignore").notna() for parse in (parse_bits, parse_factor)]
    name, pivots, dense = quality.column, [], points.is_dense(found)
    for part in (found[~kinds[0] & ~kinds[1]], *(found[kind | dense] for kind in kinds if kind.any())):
        order, known = points.amounts(part), part[part[name].notna()]
        good = known.assign(value=known[name], low=known[f"{name}_low"], high=known[f"{name}_high"])
        paid = part.assign(value=part[cost.column]).dropna(subset="value")
        pivots += [
            Pivot(quality.title, good, "where", True, order=order)
            if quality.lower
            else Pivot(quality.title, in_percent(good), "where", False, form=".1f", order=order),
            Pivot(cost.title, paid, "where", True, group="series", order=order),  # of which none is the best
        ]
    return pivots


@shared  # the answers of documents that it reads change only with the rows of the same variants
def _beside_first(found: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame | None:
    """Return by key the differences of what answers first to the best that fits, in the quality that `rows` are of.

    By paired tests with Holm's correction over the `COMPARED` that are looked at; None where the best has no pair.
    """
    fitting = answers(found[found["fits"]]).head(COMPARED)
    if not fitting["best"].any() or len(found["keys"].iloc[0]) > 1:  # others are paired with one variant
        return None
    first = found["key"].iloc[0]
    pairs = data.paired([keys for keys in fitting["keys"] if keys[0] != first], first, numbers_of(rows))
    pairs = pairs[pairs["dataset"].eq(MEAN) | pairs["metric"].eq("perplexity")]
    return None if pairs.empty else pairs.set_index("key")


@shared
def _rows(found: pd.DataFrame, asked: BudgetQuery, beside: pd.DataFrame | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the table of what fits, or of what nearly does, and the keys of its rows."""
    rows = answers(found)
    keys = tuple(rows["key"])
    stored = data.results(keys)
    footprints = [stored[key].footprint if key in stored else None for key in keys]
    return ranking.ranking(rows, asked.budget, asked.cost.column, footprints, beside), keys


def _table(chosen: Chosen, found: pd.DataFrame, asked: BudgetQuery, beside: pd.DataFrame | None) -> Item:
    table, keys = _rows(found, asked, beside)
    fit = found["fits"].any()
    st.header("What fits" if fit else "The nearest misses", anchor=False)

    caption = f"{chosen.model}, numbered as on the chart; choose a row to open it."
    caption += (
        " First the Pareto front and the best of each family."
        if fit
        else " The nearest: its largest miss, as a share of the limit, is smallest."
    )
    if beside is not None:
        caption += f" Beside the first: in {asked.quality.replace('_', ' ')}, by paired tests at 5 % with Holm's"
        caption += f" correction over the first {COMPARED}."
    caption += " fp16 and fp32: a checkpoint on disk, in which zeros take as much room as other weights."

    return widgets.show_table(
        *(TABLE, table, caption, ranking.FORMATS),
        file=chosen.file("budget"),
        widths=ranking.WIDTHS,
        on_select=lambda row: open_point(keys[row]),
    )
