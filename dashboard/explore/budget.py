"""The view By size of a model: the answer and its chart within limits, then quality and cost, the list and details."""

from functools import partial
from typing import NamedTuple

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.amount import Bits, Factor
from core.data.texts import called
from core.findings.axes import FILE, PACKED, Axis
from core.findings.best import ranking
from core.findings.best.budget import ACCURACY, LIMITS, Budget, answers, limits, winner
from core.findings.best.candidates import NO_TEXT, accepted
from core.findings.best.qualities import QUALITIES, Quality, quality_of
from core.findings.estimates import words as estimate_words
from core.findings.files import FORM, Forms, file_facts, with_files
from core.findings.numbers.reporting import UNADJUSTED, seeds_words
from core.findings.pairs.paired import INTERVAL
from core.findings.rows import points
from core.findings.rows.zeroshot import in_percent, on_documents, scored_on
from core.findings.sharing import shared
from core.findings.within import COMPARED, PAIRED, BudgetQuery, Within, gather, small_size, within
from core.metrics import MEANS, SPEEDS
from core.notation.formatting import label
from core.results import Result
from core.shipping.base import Format
from core.shipping.formats import FORMATS, programs
from dashboard import data
from dashboard.charts import tradeoff
from dashboard.charts.tradeoff_axes import edge_words
from dashboard.explore.details import open_points, pick_point, show_details
from dashboard.explore.headline import offers
from dashboard.explore.missing import offer_estimates, offer_numbers
from dashboard.explore.saving import Offer
from dashboard.exports.files import Item
from dashboard.exports.pivots import Pivot
from dashboard.shared import links, widgets
from dashboard.shared.binding import BOUND, Width, check_link, multiselect, number, segments, select
from dashboard.shared.glossary import terms
from dashboard.shared.literal import literal
from dashboard.shared.pickers import COST, TEXT, Chosen

LEAST, MOST = 0.001, 1e9  # range of a limit
NAMES = ("packed size", "file size", "bits per weight", "parameters", *(one.noun for one in SPEEDS.values()))
COSTS = dict(zip(NAMES, tradeoff.COSTS, strict=True))
CHART = "explore_tradeoff"  # key
TABLE = "explore_ranked"  # key
LIMIT = "explore_limit_"  # start of the keys of limits
ANY = "any program"
SIDE = 500  # minimum width in px of the list and the chart in a row


class Field(NamedTuple):
    """An input field of a limit."""

    label: str
    help: str
    step: float
    most: float = MOST


SIZE = Field(
    "I have (MB)",
    "Packed size, at most: each matrix in its smallest lossless layout, at 16 bits per weight or the bits of its grid.",
    10.0,
)
MORE = {
    "times_dense": Field("Perplexity, at most (times dense)", "1 is the perplexity of the dense model.", 0.1),
    "decode_ms": Field("Decode latency, at most (ms)", "Time per generated token at batch size 1.", 1.0),
    ACCURACY: Field(
        "Above chance, at least (points)",
        "Mean accuracy minus that of guessing, over the tasks on which the dense model shows knowledge.",
        1.0,
        100.0,
    ),
    **{
        name: Field(
            f"{one.label}, at {'most' if one.lower else 'least'} ({one.unit})",
            one.help,
            1.0 if one.percent else 0.01,
            min(MOST, one.times * one.ends[1]),
        )
        for name, one in reversed(MEANS.items())
    },
    "bits_per_weight": Field("Bits per weight, at most", "Counts the block linears with scales and zero points.", 0.5),
    "parameters": Field("Parameters, at most (millions)", "Counts the whole model.", 10.0),
    "prefill_ms": Field("Prefill latency, at most (ms)", "Time per prompt token at batch size 1.", 0.1),
    "memory_mb": Field("Peak memory, at most (MB)", "At batch size 1.", 10.0),
}


def start_limit(dense: pd.DataFrame) -> None:
    """Set the size to `small_size`, unless the visitor or the address chose limits before.

    The address gets it, because Back and Forward set a field that their address lacks to no limit.
    """
    chosen = {*st.session_state, *st.query_params}
    if len(dense) and not any(str(key).startswith(LIMIT) for key in chosen):
        st.query_params[LIMIT + PACKED.column] = f"{small_size(dense):g}"
        st.rerun()  # the field reads the address before the script runs


def pick_forms() -> list[Format]:
    """Show the field of the program that loads the file; return its formats, none for any program."""
    loaded = programs()
    help = f"With a program, sizes are those of the smallest file that it loads; for {ANY}, packed sizes."
    return loaded.get(select("For", [ANY, *loaded], "explore_for", "program", help=help, width=140), [])


def pick_budget(size: Axis, every: pd.DataFrame) -> tuple[Budget, dict[str, list[str]]]:
    """Show the field of the size, and the other limits and filters behind a button; an empty field sets no limit.

    Returns:
        The limits, and the accepted values of each column of `every`, where an empty list accepts all.
    """
    given = {size.column: _limit(PACKED.column, SIZE)}
    with st.popover("Limits, filters", icon=":material/tune:"):
        given |= {column: _limit(column, field, "stretch") for column, field in MORE.items()}
        filters = _pick_filters(every)
    return Budget(**{name: limit / LIMITS[name].times for name, limit in given.items() if limit is not None}), filters


def _limit(column: str, field: Field, width: Width = 150) -> float | None:
    limit: float | None = number(
        field.label,
        (LEAST, field.most),
        None,
        LIMIT + column,
        "limit",
        BOUND,
        step=field.step,
        format="%g",
        help=field.help,
        placeholder="no limit",
        width=width,
    )
    return limit


def _pick_filters(every: pd.DataFrame) -> dict[str, list[str]]:
    chosen = {}
    for name, column, shown in (
        ("Family", "family", str.capitalize),
        ("Method", "method", label),
        ("Training", "training", str.capitalize),
        ("Calibrated on", "calibration", str),
    ):
        key, there = f"explore_only_{name.split()[0].lower()}", list(dict.fromkeys(every[column].fillna(NO_TEXT)))
        check_link(key, "filter", [shown(one) for one in there], shown)
        chosen[column] = multiselect(name, there, format_func=shown, key=key, placeholder="all", **BOUND)
    return chosen


def pick_query(budget: Budget, every: pd.DataFrame, corpus: str, other: Axis) -> BudgetQuery:
    """Show the fields of the quality and the cost, but not of the `other` size.

    `every` has the `candidates`, whose perplexities are of `corpus`.
    """
    costs = [name for name, axis in COSTS.items() if axis is not other]
    offered = [one.label for one in QUALITIES.values() if one.always or every[one.column].notna().any()]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        quality = segments("Rank by", offered, "explore_quality", "quality", wrap=True)
        cost = select("Against", costs, COST, "cost", width=210)
    column = next(one.column for one in QUALITIES.values() if one.label == quality)
    return BudgetQuery(quality_of(column, corpus), budget, COSTS[cost])


def show_points(chosen: Chosen, dense: pd.DataFrame, answer: Within, protocol: str) -> Item:
    """Show the chart; `protocol` describes that of the perplexities."""
    found, (quality, budget, cost) = answer.rows, answer.query
    known = limits(budget)
    caption = f"{chosen.model}, variants with any calibration or training data. "
    caption += quality.caption.format(text=called(quality.corpus), protocol=protocol, documents=chosen.documents)
    files = FORM in found
    caption += f" Sizes are {'of files' if files else 'packed, at 16 bits per weight or the bits of the grid'}."
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
    unused = ["key", "keys", "spread", "value", "low", "high", "scored", "ranked", "undecided"]
    exported = found.drop(columns=unused if files else [*unused, FILE.column])
    alt, best = f"{quality.drawn_title} against {cost.title.lower()}, a mark for each variant.", winner(found)
    if best is not None:
        alt += f" Best within the budget: {best['name']}."
    return widgets.show_chart(
        CHART,
        partial(tradeoff.tradeoff, found, dense, answer.estimates, cost, quality, budget),
        caption,
        exported.rename(columns={"times_dense": "perplexity_ratio"}),
        file=chosen.file("trade-off"),
        pivots=pivots_of(found, cost, quality),
        alt=alt,
        on_select=partial(open_points, CHART),
        explained=explained,
    )


@shared
def pivots_of(found: pd.DataFrame, cost: Axis, quality: Quality) -> list[Pivot]:
    """Return tables of quality and cost, variant by amount, separately for ratios and N:M, bits, and factors."""
    given = pd.Series(points.amounts_of(found), found.index, dtype=object)
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


@shared
def _rows(found: pd.DataFrame, query: BudgetQuery, tests: pd.DataFrame | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the table of variants within the budget, or nearest to it, and the keys of its rows."""
    rows = answers(found)
    keys = tuple(rows["key"])
    stored = data.results(keys)
    each = [stored.get(key) for key in keys]
    return ranking.ranking(rows, query.budget, query.cost.column, query.quality, each, tests), keys


def show_list(chosen: Chosen, answer: Within) -> Item:
    """Show the list, with the tests against the best, if any."""
    query, found, tests = answer.query, answer.rows, answer.tests
    listed, keys = _rows(found, query, tests)
    table = estimate_words.with_estimates(listed, answer.estimates)
    fit = found["fits"].any()
    within = "Variants within the budget" if limits(query.budget) else "All variants"
    explained = terms(("Pareto front", "estimated chain", "packed size", "paired difference", "not significant"))
    title = within if fit else "Nearest variants outside the budget"
    st.header(title, anchor=False, help=f"Tick a row to open its details, or two to compare them.\n\n{explained}")
    quality = query.quality
    caption = f"{chosen.model}, the best {quality.name} first."
    if fit:
        caption += f" {ranking.ON_FRONT}: no other listed variant is as good at the same or lower"
        caption += f" {query.cost.title.partition(' (')[0].lower()}. Variants that only restore the grid of the model's"
        caption += " own file, and those without the quality, come last."
    else:
        caption = f"{chosen.model}, the nearest first: ordered by the largest excess as a share of its limit."
    caption += f" {INTERVAL}: {quality.interval}."
    if quality.paired and len(listed) > PAIRED:
        caption += f" Intervals: of the first {PAIRED} and the front."
    if tests is not None:
        caption += f" Compared with the first: {quality.name}, by paired tests at 5 % with Holm's correction over the"
        caption += f" first {COMPARED}. {seeds_words(tests)}".rstrip()
    if len(answer.estimates):
        caption += f" {estimate_words.listed_words(answer.error)}"
    caption += " fp16 and fp32: checkpoint size on disk, where zeros take as much space as other weights."
    return widgets.show_table(
        *(TABLE, table, caption, ranking.FORMATS),
        file=chosen.file("budget"),
        widths=ranking.WIDTHS | widgets.fitting_widths(table, [ranking.TO_FIRST]),
        on_select=lambda rows: open_points(TABLE, [keys[row] for row in rows if row < len(keys)]),  # no estimates
    )


def _file_of(result: Result, answer: Within, forms: Forms) -> Offer:
    """Return the file of the winner for a program; without one, the best file of any program within the packed size."""
    most = answer.query.budget.packed_mb
    if forms or most is None:
        return Offer(result, forms or FORMATS)
    every, _ = with_files(answer.gathered.every, FORMATS, data)
    query = answer.query._replace(budget=answer.query.budget.model_copy(update={"packed_mb": None, "file_mb": most}))
    best = within(answer.gathered._replace(every=every), query, answer.filters, data).winner
    if best is None:
        return Offer(result, note=f"No file has at most {most:g} MB. This one is of the variant above.")
    if best["key"] == result.variant.key:
        return Offer(result)
    name, words = literal(best["name"]), answer.query.quality.words(best)
    note = f"The best file of at most {most:g} MB is of another variant: **{name}**, {words}."
    return Offer(data.results([best["key"]])[best["key"]], note=note)


def show_tradeoff(chosen: Chosen, rows: pd.DataFrame, title: DeltaGenerator, fields: DeltaGenerator) -> list[Item]:
    """Show which variants of a model are within a budget, and the details of one.

    `chosen` comes from `pickers.pick`, and `rows` are all tidy rows of the model. The view shows every variant that the
    filters accept, with any method, calibration and training data. The finding replaces the `title` of the page, and
    `fields` take the limits and filters.
    """
    first = [text for text in (chosen.calibration, chosen.training) if text]
    gathered = gather(rows, chosen.corpus, chosen.protocol, on_documents(scored_on(rows), chosen.documents), first)
    every = gathered.every
    if gathered.measured.empty:
        st.info("This model has no perplexity yet. Run it, or choose another model or text in the sidebar.")
        return []
    start_limit(gathered.dense)
    with fields:
        forms = pick_forms()
        size, other = (FILE, PACKED) if forms else (PACKED, FILE)
        budget, filters = pick_budget(size, every)
    files = None
    if forms:
        sized, files = with_files(every, forms, data)
        gathered = gathered._replace(every=sized)
        filters[FORM] = [form.label for form in forms]
    head, grid = st.container(), st.grid(2, min_column_width=SIDE, gap="medium")
    chart_cell, list_cell = grid.cell(), grid.cell()
    with chart_cell:
        place = st.container()
        query = pick_query(budget, every, str(chosen.corpus), other)
    if accepted(gathered.every, filters).empty:
        head.info("No variant passes the filters. Remove a filter.")
        return []
    answer = within(gathered, query, filters, data, files)
    with title.container(gap="xsmall"):
        st.title(answer.headline(chosen.model), anchor=False)
        key, known = None, answer.known()
        if (best := answer.winner) is not None:
            key = best["key"]
            if forms:
                known = known[:1] + file_facts(best, data.results([key])[key].variant)
        with offers(known, key, partial(_file_of, answer=answer, forms=forms)):
            pass
    with place:
        chart = show_points(chosen, gathered.dense, answer, gathered.measured["protocol"].iloc[0])
    with list_cell:
        for sentence in answer.sentences(chosen.model, literal):
            st.markdown(sentence)
        offer_estimates(chosen, answer.estimates)
        table = show_list(chosen, answer)
        offer_numbers(chosen, answer.rows, query.quality)
    addresses = pick_point(every)
    law = links.laws(chosen.model, query.quality.column, st.session_state.get(TEXT), chosen.documents)
    links.show("laws", "How much may be removed? See the compression law", "function", law)
    show_details(every, addresses)
    return [chart, table]
