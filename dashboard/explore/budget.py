"""Trade-off view of Explore: a budget, the best variant within it, the list of all, and their chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.amount import Bits, Factor
from core.analysis.additive import RuleError
from core.analysis.budget import (
    ACCURACY,
    LIMITS,
    PERPLEXITY,
    USABLE_TIMES_DENSE,
    Budget,
    answers,
    limits,
    ranked,
    winner,
)
from core.analysis.reporting import UNADJUSTED
from core.analysis.seven import MEAN
from core.data.texts import called
from core.notation.formatting import label
from core.results import AGREEMENT, KL
from dashboard import data
from dashboard.charts import tradeoff
from dashboard.charts.elements.figures import Axis
from dashboard.charts.frames import choices, estimate_words, estimates, points, ranking
from dashboard.charts.frames.candidates import candidates, of_documents, without_perplexity
from dashboard.charts.frames.paired import INTERVAL
from dashboard.charts.frames.points import amounts_of
from dashboard.charts.frames.zeroshot import in_percent
from dashboard.charts.qualities import Quality, quality_of
from dashboard.explore.compare import numbers_of
from dashboard.explore.details import open_points, pick_point, show_details
from dashboard.explore.laws import show_law
from dashboard.explore.missing import offer_estimates, offer_numbers
from dashboard.exports.files import Item
from dashboard.exports.pivots import Pivot
from dashboard.shared import widgets
from dashboard.shared.binding import BOUND, Between, check_link
from dashboard.shared.glossary import terms
from dashboard.shared.literal import literal
from dashboard.shared.pickers import COST, Chosen, Documents
from dashboard.sharing import shared

CHART, TABLE = "explore_tradeoff", "explore_ranked"  # keys
QUALITIES = {"Perplexity": PERPLEXITY, "Mean accuracy": ACCURACY}
COSTS = dict(
    zip(
        (
            *("packed size", "bits per weight", "parameters"),
            *("prefill latency", "decode latency", "peak memory"),
        ),
        tradeoff.COSTS,
        strict=True,
    )
)
COMPARED = 20  # variants within the budget that are tested against the best
PAIRED = 100  # variants within the budget with intervals, besides the front; each reads the stored answers
SIDE = 500  # minimum width in px of the list and the chart in a row
NO_TEXT = "no text"  # filter value of variants without calibration data
LEAST, MOST = 0.001, 1e9  # range of a limit


class Field(NamedTuple):
    """An input field of a limit."""

    label: str
    help: str
    step: float
    most: float = MOST


FIRST = {
    "packed_mb": Field(
        "I have (MB)",
        "Packed size, at most: each matrix in its smallest lossless layout, at 16 bits per weight or the bits of its"
        " grid.",
        10.0,
    ),
    "times_dense": Field("Perplexity, at most (times dense)", "1 is the perplexity of the dense model.", 0.1),
    "decode_ms": Field("Decode latency, at most (ms)", "Time per generated token at batch size 1.", 1.0),
    ACCURACY: Field("Mean accuracy, at least (%)", "Mean of the seven tasks.", 1.0, 100.0),
}
MORE = {
    AGREEMENT: Field(
        "Top-1 agreement, at least (%)",
        "Tokens of the text to which this variant and the dense model give the highest probability.",
        1.0,
        100.0,
    ),
    KL: Field("KL divergence, at most (nats)", "Mean distance from the dense model's next-token distribution.", 0.01),
    "bits_per_weight": Field("Bits per weight, at most", "Counts the block linears with scales and zero points.", 0.5),
    "parameters": Field("Parameters, at most (millions)", "Counts the whole model.", 10.0),
    "prefill_ms": Field("Prefill latency, at most (ms)", "Time per prompt token at batch size 1.", 0.1),
    "memory_mb": Field("Peak memory, at most (MB)", "At batch size 1.", 10.0),
}


class Estimated(NamedTuple):
    """The shown estimated chains (rows of `estimates.select`), and the error of their rule."""

    rows: pd.DataFrame
    error: RuleError


class BudgetQuery(NamedTuple):
    """The shown quality and cost, and the budget."""

    quality: str
    cost: Axis
    budget: Budget


def show_tradeoff(chosen: Chosen, rows: pd.DataFrame) -> list[Item]:
    """Show which variants of a model are within a budget, and the details of one.

    `chosen` comes from `pickers.pick`, and `rows` are all tidy rows of the model. The view shows every variant that the
    filters accept, with any method, calibration and training data.
    """
    measured = choices.on_text(rows, chosen.corpus, chosen.protocol)
    if measured.empty:
        st.info("This model has no perplexity yet. Run it, or choose another model or text in the sidebar.")
        return []
    scored = _scored(rows, chosen.documents)
    first = [text for text in (chosen.calibration, chosen.training) if text]
    every = _candidates(measured, scored, first, _without_perplexity(rows, measured))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        budget = _pick_budget()
        filters = _pick_filters(every)
    above = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        check_link("explore_quality", "quality", QUALITIES)
        quality = st.segmented_control(
            "Rank by", list(QUALITIES), default="Perplexity", required=True, key="explore_quality", **BOUND
        )
        check_link(COST, "cost", COSTS)
        cost = st.selectbox("Against", list(COSTS), key=COST, width=210, **BOUND)
    accepted = _accepted(every, filters)
    if accepted.empty:
        above.info("No variant passes the filters. Remove a filter.")
        return []
    query = BudgetQuery(QUALITIES[quality], COSTS[cost], budget)
    numbers = scored if query.quality == ACCURACY else measured
    found = rank(accepted, _dense(every), numbers, query)
    estimated = _estimate(measured, _dense(every), found, filters, query)
    tests = _tests_to_best(found, numbers)
    with above:
        st.markdown(ranking.answer(found, budget, query.quality, chosen.model, literal, tests))
        if text := estimate_words.sentence(estimated.rows, winner(found), literal):
            st.markdown(text)
        offer_estimates(chosen, estimated.rows)
    with st.grid(2, min_column_width=SIDE, gap="medium") as grid:
        with grid.cell():
            table = _table(chosen, found, estimated, query, tests)
            offer_numbers(chosen, found, query.quality)
        with grid.cell():
            chart = _chart(chosen, found, _dense(every), estimated, query, measured["protocol"].iloc[0])
    addresses = pick_point(every)
    items = [chart, table]
    show_law(chosen, numbers, query.quality, items)
    show_details(every, addresses)
    return items


_candidates, _ranked, _with_intervals = shared(candidates), shared(ranked), shared(ranking.with_intervals)
_without_perplexity = shared(without_perplexity)
_combinations, _select = shared(estimates.combinations), shared(estimates.select)
_rule_error = shared(estimates.rule_error)


def rank(accepted: pd.DataFrame, dense: pd.DataFrame, numbers: pd.DataFrame, query: BudgetQuery) -> pd.DataFrame:
    """Return the variants as of `core.analysis.budget.ranked`, with their intervals.

    Args:
        accepted: Rows of `candidates`.
        dense: The dense model's row, if known.
        numbers: Tidy rows of the quality.
        query: The quality, cost and budget.
    """
    found = _ranked(accepted, query.budget, query.cost.column, query.quality)
    return _with_intervals(found, _differences_to_dense(found, dense, numbers), query.quality)


def _estimate(
    measured: pd.DataFrame,
    dense: pd.DataFrame,
    found: pd.DataFrame,
    filters: Mapping[str, Sequence[str]],
    query: BudgetQuery,
) -> Estimated:
    """Return the estimated chains within the budget that pass the filters; none for accuracies, which do not add up."""
    every = _combinations(measured, dense) if query.quality == PERPLEXITY else pd.DataFrame()
    if every.empty:
        return Estimated(every, RuleError())
    error = _rule_error(data.rows("perplexity", [measured["dataset"].iloc[0]]), measured["window"].iloc[0])
    return Estimated(_select(_accepted(every, filters), found, query.budget, query.cost.column, error), error)


@shared
def _scored(rows: pd.DataFrame, documents: Documents) -> pd.DataFrame:
    """Return the accuracies on these documents."""
    return of_documents(rows).get((documents.limit, documents.scoring), rows.iloc[:0])


@shared
def _dense(every: pd.DataFrame) -> pd.DataFrame:
    return every[points.is_dense(every)]


def _pick_budget() -> Budget:
    """Show the fields of the limits, the usual ones first; an empty field sets no limit."""
    given = {column: _limit(column, field) for column, field in FIRST.items()}
    with st.popover("Set more limits", icon=":material/tune:"):
        given |= {column: _limit(column, field) for column, field in MORE.items()}
    return Budget(**{name: limit / LIMITS[name].times for name, limit in given.items() if limit is not None})


def _limit(column: str, field: Field) -> float | None:
    check_link(f"explore_limit_{column}", "limit", Between(LEAST, field.most))
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


def _pick_filters(every: pd.DataFrame) -> dict[str, list[str]]:
    """Show the filters; return the accepted values of each column, where an empty list accepts all."""
    chosen = {}
    with st.popover("Filter variants", icon=":material/filter_alt:"):
        for name, column, shown in (
            ("Family", "family", str.capitalize),
            ("Method", "method", label),
            ("Training", "training", str.capitalize),
            ("Calibrated on", "calibration", str),
        ):
            values = every[column].fillna(NO_TEXT)
            key = f"explore_only_{name.split()[0].lower()}"
            there = list(dict.fromkeys(values))
            check_link(key, "filter", [shown(one) for one in there], shown)
            chosen[column] = st.multiselect(name, there, format_func=shown, key=key, placeholder="all", **BOUND)
    return chosen


@shared
def _accepted(every: pd.DataFrame, chosen: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return the rows with a chosen value in each column; a column without choices accepts all."""
    accepted = pd.Series(True, every.index)
    for column, values in chosen.items():
        if values:
            accepted &= every[column].fillna(NO_TEXT).isin(values)
    return every[accepted]


def _chart(
    chosen: Chosen, found: pd.DataFrame, dense: pd.DataFrame, estimated: Estimated, query: BudgetQuery, protocol: str
) -> Item:
    cost, quality = query.cost, quality_of(query.quality, str(chosen.corpus))
    caption, explained = f"{chosen.model}, variants with any calibration or training data.", ""
    if quality.lower:
        top = max(USABLE_TIMES_DENSE, query.budget.times_dense or 0.0)
        caption += f" Perplexity on {called(str(chosen.corpus))}: {protocol}."
        explained += f" Triangles in the grey band: over {top:g} times dense."
    else:
        caption += f" Mean of the seven tasks, {chosen.documents}."
    caption += " Sizes are packed, at 16 bits per weight or the bits of the grid."
    explained += " Pareto front: no other variant is as good at the same or lower cost. Bars of the front:"
    explained += f" {UNADJUSTED} intervals of the paired difference to dense."
    if (most := limits(query.budget).get(cost.column)) is not None:
        explained += f" Variants far above {LIMITS[cost.column].format(most)} lie beyond the right edge."
    unscored = LIMITS[quality.drawn].missing if dense.empty else ranking.UNSCORED[query.quality]
    for column, why in ((cost.column, LIMITS[cost.column].missing), (quality.drawn, unscored)):
        if lacking := found[column].isna().sum():
            explained += f" Not drawn: {lacking} ({why})."
    if len(estimated.rows):
        explained += f" {estimate_words.drawn_words(estimated.error)}"
    exported = found.drop(columns=["key", "keys", "spread", "value", "low", "high", "scored", "ranked", "undecided"])
    return widgets.show_chart(
        CHART,
        partial(tradeoff.tradeoff, found, dense, estimated.rows, cost, quality, query.budget),
        caption,
        exported.rename(columns={"times_dense": "perplexity_ratio"}),
        file=chosen.file("trade-off"),
        pivots=_pivots(found, cost, quality),
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
def _pivots(found: pd.DataFrame, cost: Axis, quality: Quality) -> list[Pivot]:
    """Return tables of quality and cost, variant by amount, separately for ratios and N:M, bits, and factors."""
    given = pd.Series(amounts_of(found), found.index, dtype=object)
    kinds = [given.map(lambda amount, kind=kind: isinstance(amount, kind)).astype(bool) for kind in (Bits, Factor)]
    name, pivots, dense = quality.column, [], points.is_dense(found)
    for part in (found[~kinds[0] & ~kinds[1]], *(found[kind | dense] for kind in kinds if kind.any())):
        order, known = points.amounts(part), part[part[name].notna()]
        good = known.assign(value=known[name], low=known[f"{name}_low"], high=known[f"{name}_high"])
        paid = part.assign(value=part[cost.column]).dropna(subset="value")
        pivots += [
            Pivot(quality.title, good, "amount_label", True, order=order)
            if quality.lower
            else Pivot(quality.title, in_percent(good), "amount_label", False, form=".1f", order=order),
            Pivot(cost.title, paid, "amount_label", True, group="series_label", order=order),  # without a best value
        ]
    return pivots


@shared  # the stored answers change only with the rows of the same variants
def _differences_to_dense(found: pd.DataFrame, dense: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame | None:
    """Return paired differences to the dense model in the quality of `rows`, by key.

    They are of the first `PAIRED` answers and of the front.
    """
    if dense.empty:
        return None
    listed = pd.concat([answers(found).head(PAIRED), found[found["front"]]]).drop_duplicates("key")
    return _pairs([keys for keys in listed["keys"] if keys != dense["keys"].iloc[0]], dense["key"].iloc[0], rows)


@shared
def _tests_to_best(found: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame | None:
    """Return paired differences to the best variant within the budget, by key; None if the best has none.

    They are of the quality in `rows`, for the first `COMPARED` variants, with Holm's correction over these.
    """
    best = winner(found)
    if best is None or len(best["keys"]) > 1:  # several seeds have no single partner
        return None
    fitting = answers(found).head(COMPARED)
    return _pairs([keys for keys in fitting["keys"] if keys[0] != best["key"]], best["key"], rows)


def _pairs(seeds: list[tuple[str, ...]], reference: str, rows: pd.DataFrame) -> pd.DataFrame | None:
    """Return the paired differences of variants to a reference in the quality of `rows`, by key; None without any."""
    pairs = data.paired(seeds, reference, numbers_of(rows))
    pairs = pairs[pairs["dataset"].eq(MEAN) | pairs["metric"].eq("perplexity")]
    return None if pairs.empty else pairs.set_index("key")


@shared
def _rows(found: pd.DataFrame, query: BudgetQuery, tests: pd.DataFrame | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the table of variants within the budget, or nearest to it, and the keys of its rows."""
    rows = answers(found)
    keys = tuple(rows["key"])
    stored = data.results(keys)
    footprints = [stored[key].footprint if key in stored else None for key in keys]
    return ranking.ranking(rows, query.budget, query.cost.column, query.quality, footprints, tests), keys


def _table(
    chosen: Chosen, found: pd.DataFrame, estimated: Estimated, query: BudgetQuery, tests: pd.DataFrame | None
) -> Item:
    listed, keys = _rows(found, query, tests)
    table = estimate_words.with_estimates(listed, estimated.rows)
    fit = found["fits"].any()
    within = "Variants within the budget" if limits(query.budget) else "All variants"
    explained = terms(("Pareto front", "estimated chain", "packed size", "paired difference", "not significant"))
    title = within if fit else "Nearest variants outside the budget"
    st.header(title, anchor=False, help=f"Tick a row to open its details, or two to compare them.\n\n{explained}")
    by = "perplexity" if query.quality == PERPLEXITY else "mean accuracy"
    caption = f"{chosen.model}, the best {by} first."
    if fit:
        caption += f" {ranking.ON_FRONT}: no other listed variant is as good at the same or lower"
        caption += f" {query.cost.title.partition(' (')[0].lower()}. Variants that only restore the grid of the model's"
        caption += " own file, and those without the quality, come last."
    else:
        caption = f"{chosen.model}, the nearest first: ordered by the largest excess as a share of its limit."
    relative = "ratio to dense" if query.quality == PERPLEXITY else "difference to dense, in points"
    caption += f" {INTERVAL}: paired interval of the {relative}."
    if len(listed) > PAIRED:
        caption += f" Intervals: of the first {PAIRED} and the front."
    if tests is not None:
        caption += f" Compared with the first: {by}, by paired tests at 5 % with Holm's correction over the first"
        caption += f" {COMPARED}."
    if len(estimated.rows):
        caption += f" {estimate_words.listed_words(estimated.error)}"
    caption += " fp16 and fp32: checkpoint size on disk, where zeros take as much space as other weights."
    return widgets.show_table(
        *(TABLE, table, caption, ranking.FORMATS),
        file=chosen.file("budget"),
        widths=ranking.WIDTHS | widgets.fitting_widths(table, [ranking.TO_FIRST]),
        on_select=lambda rows: open_points(TABLE, [keys[row] for row in rows if row < len(keys)]),  # no estimates
    )
