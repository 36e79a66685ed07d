"""The tab of layers: each matrix after a stage, alone or against another variant, and the weights of one matrix."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from core.base.errors import UserError
from core.findings.inside.layers import (
    PLACE,
    ChangedLayers,
    Measure,
    allocated_chain,
    changed_layers,
    difference_sentence,
    largest_first,
    layer_differences,
    most_sentence,
    stages_of,
    suggested_ratios,
)
from core.findings.inside.weights import PATCH, Matrices, lacking_variants, matrices
from core.findings.rows.stages import stage_name
from core.models.facts import config_of
from core.models.shape import head_width
from core.models.sources import identify_again
from core.notation.chain import file_name, format_chain
from core.notation.formatting import capitalise
from core.notation.removal import format_percent
from core.request.resolve import scan_method
from core.request.stages import variant_spec
from core.results import LayerReport, Result
from core.specs import VariantSpec
from dashboard import data
from dashboard.charts.matrices import (
    layer_heatmap,
    mask_patch,
    number_histogram,
    scale_of,
    weight_histogram,
    weight_patch,
)
from dashboard.charts.sensitivity import scans
from dashboard.exports.files import Item, export_name, model_part
from dashboard.inside.offers import link_to_run, offer_jobs
from dashboard.inside.selection import Subject, pick_variants
from dashboard.shared import widgets
from dashboard.shared.binding import BOUND, check_link, segments
from dashboard.shared.links import CHAIN
from dashboard.shared.literal import literal
from dashboard.shared.pair import offer_scan, show_notes, show_scan

BY, MATRIX = "inside_by", "inside_matrix"  # keys
MAP, HISTOGRAM, TABLE = "inside_layer_map", "inside_layer_histogram", "inside_layer_table"  # keys
STAGE, OTHER_STAGE = "inside_stage", "inside_other_stage"  # keys
HELP = "Maps and tables show the first variant minus this one. Leave it empty to see one variant."
FORMATS = {"Perplexity, times dense": "%.4f", "Suggested ratio (%)": "%.1f"}
ROW, COLUMN = "inside_output", "inside_input"  # keys of the patch's first output and first input
CELL = 230  # minimum width in px of a patch
EXACT = 0.999  # quantile of the absolute weights that has the strongest colour


def pick_measure(measures: Sequence[Measure]) -> Measure:
    """Show the field of the number that the map shows."""
    titles = {measure.title: measure for measure in measures}
    return titles.get(segments("Shown", list(titles), BY, "number"), measures[0])


def pick_matrix(rows: pd.DataFrame, column: str) -> str:
    """Show the field of the matrix, by default the one with the largest number."""
    names = list(rows["name"])
    largest = names[int(rows[column].abs().fillna(0).argmax())]
    check_link(MATRIX, "matrix", names)
    chosen: str = st.selectbox(
        "Matrix",
        names,
        index=names.index(largest),
        key=MATRIX,
        help="Also chosen by a click on the map, a mark of the histogram or a row of the table. At first: the largest "
        "number.",
        **BOUND,
    )
    return chosen


def choose(names: Sequence[str]) -> None:
    """Choose the clicked matrix with the next script run."""
    if names:
        st.session_state[MATRIX] = names[-1]


class Number(NamedTuple):
    """A number of each matrix: a column of layer reports, or the difference of one between two tables."""

    column: str
    of: str  # the column of layer reports
    title: str
    name: str  # in a sentence


def show_maps(rows: pd.DataFrame, number: Number, chosen: str, caption: str, file: str) -> list[Item]:
    """Show the map and the histogram of a number, with the chosen matrix marked; a click on a mark chooses another.

    `caption` is that of the map, and `file` begins the names of the exports.
    """
    column, title = number.column, number.title
    full = _with_unit(title, number.of)
    of = None if number.of == column else number.of
    known = rows.dropna(subset=column)
    values = known.set_index("name")[column] * scale_of(number.of)[0]
    chart = widgets.show_chart(
        MAP,
        partial(layer_heatmap, rows, column=column, title=title, chosen=chosen, of=of),
        caption,
        known if of else known[[*PLACE, column]],
        alt=f"Map of {number.name} by block and role",
        file=f"{file}-{number.of}",
        on_select=choose,
    )
    histogram = widgets.show_chart(
        HISTOGRAM,
        partial(number_histogram, values, title=full, chosen=chosen),
        f"{caption} Each mark at the bottom is a matrix. The dashed line is {chosen}.",
        values.rename(full).reset_index(),
        alt=f"Histogram of {full} over matrices",
        file=f"{file}-{column}-histogram",
        on_select=choose,
    )
    return [chart, histogram]


def show_table(rows: pd.DataFrame, numbers: Mapping[str, tuple[str, str]], caption: str, file: str) -> Item:
    """Show the table of the matrices; a tick chooses one.

    `numbers` has each column of numbers with the column of the layer reports that gives its unit, and its name.
    """
    headings = {column: capitalise(_with_unit(title, of)) for column, (of, title) in numbers.items()}
    scaled = {column: scale_of(of)[0] * rows[column] for column, (of, _) in numbers.items()}
    table = rows[[*PLACE, *numbers]].assign(**scaled)
    names = list(table["name"])
    return widgets.show_table(
        TABLE,
        table.rename(columns={"name": "Matrix", "block": "Block", "role": "Role", **headings}),
        caption,
        dict.fromkeys(headings.values(), "%.4g"),
        file=f"{file}-table",
        captioned=False,
        on_select=lambda ticked: choose([names[row] for row in ticked]),
    )


def _with_unit(title: str, of: str) -> str:
    unit = scale_of(of)[1].strip()
    return f"{title} ({unit})" if unit else title


def show_layers(subject: Subject) -> list[Item]:
    """Show the effect of a stage on each matrix of a variant, or its difference to another variant."""
    key, other = pick_variants(subject, HELP)
    first = _staged(subject, key, STAGE, "Stage")
    second = _staged(subject, other, OTHER_STAGE, "Stage of the other variant") if other else None
    if first is None or (other and second is None):
        return []
    return _compared(subject, first, second) if second else _alone(subject, first)


def _staged(subject: Subject, key: str, field: str, label: str) -> ChangedLayers | None:
    """Return what the chosen stage of a variant changed; without layer reports, show the reason and return None."""
    result = data.result(key)
    if result is None:
        return None
    stages = {f"{place + 1}. {stage_name(result.variant.stages[place])}": place for place in stages_of(result)}
    chosen = segments(label, list(stages), field, "stage", start=[*stages][-1]) if len(stages) > 1 else ""
    found = changed_layers(result, subject.names[key], stages.get(chosen), _head_width(result))
    if found.rows.empty:
        st.info(literal(found.sentence))
        return None
    return found


def _head_width(result: Result) -> int | None:
    try:
        return head_width(config_of(identify_again(result.variant.model, result.variant.revision)))
    except UserError:  # the model's files are not on this machine
        return None


def _alone(subject: Subject, one: ChangedLayers) -> list[Item]:
    headline = st.container()
    measure = pick_measure(one.measures)
    headline.header(most_sentence(one.rows, measure).removesuffix("."), anchor=False)
    name = pick_matrix(one.rows, measure.column)
    title = capitalise(measure.title)
    caption = f"{subject.model}, {one.name}: {measure.title} of each matrix. {title}: {measure.meaning}."
    file = _file(subject, one)
    items = show_maps(one.rows, Number(measure.column, measure.column, title, measure.title), name, caption, file)
    show_notes(one.rows)
    numbers = {each.column: (each.column, each.title) for each in one.measures}
    items.append(show_table(largest_first(one.rows, measure.column), numbers, caption, file))
    items += show_matrix(one.result, one.stage, name, one.name, file)
    if scan_method(one.result.variant.stages) is None:
        return items
    st.header("Layer sensitivity", anchor=False)
    items += show_scan(one.result, f"{subject.model}, {one.name}", f"{file}-scan")
    offer_scan(one.result)
    return items + show_suggestion(one.result, f"{subject.model}, {one.name}", f"{file}-suggestion")


def _compared(subject: Subject, first: ChangedLayers, second: ChangedLayers) -> list[Item]:
    shared = {each.title for each in second.measures}
    measures = [each for each in first.measures if each.title in shared]
    if not measures:
        st.info("These two stages report no common number, so they have no difference.")
        return []
    headline = st.container()
    measure = pick_measure(measures)
    rows = layer_differences(first.rows, second.rows, measure.column)
    if rows.empty:
        st.info("These two stages report no common matrix, so they have no difference.")
        return []
    rows = largest_first(rows, "difference")
    headline.header(difference_sentence(rows, measure).removesuffix("."), anchor=False)
    name = pick_matrix(rows, "difference")
    title = f"Difference in {measure.title}"
    caption = f"{subject.model}, {measure.title} of each matrix: {first.name} minus {second.name}. "
    caption += f"{capitalise(measure.title)}: {measure.meaning}."
    file = f"{_file(subject, first)}-minus-{file_name(second.result.variant.stages)}"
    number = Number("difference", measure.column, title, f"the difference in {measure.title}")
    items = show_maps(rows, number, name, caption, file)
    numbers = {"first": (measure.column, "first"), "second": (measure.column, "second")}
    numbers["difference"] = (measure.column, "first minus second")
    return [*items, show_table(rows, numbers, caption, file)]


def _file(subject: Subject, one: ChangedLayers) -> str:
    return export_name(model_part(subject.model), file_name(one.result.variant.stages), f"layers-{one.stage + 1}")


def show_suggestion(result: Result, name: str, file: str) -> list[Item]:
    """Show the pruning ratio of each block that the scan of a variant suggests, if it has a scan by block."""
    rows, stage = scans(result).get("block"), result.variant.stages[0]
    chain = allocated_chain(result.variant.stages)
    if rows is None or chain is None:
        return []
    measured = rows.set_index("block")["perplexity_ratio"]
    ratios = suggested_ratios(measured, stage.required_ratio)
    table = pd.DataFrame(
        {"Block": measured.index, "Perplexity, times dense": measured, "Suggested ratio (%)": 100 * ratios}
    )
    caption = (
        f"{name}: pruning ratio of each block by `allocation=sensitivity`, before a common shift to the target of "
    )
    caption += f"{stage.required_ratio:.0%}. Sensitive blocks lose less.".replace("%", " %")
    item = widgets.show_table("inside_suggestion", table, caption, FORMATS, file=file)
    link_to_run("Run this allocation", {CHAIN: chain})
    return [item]


def show_matrix(result: Result, stage: int, name: str, variant: str, file: str) -> list[Item]:
    """Show the weights of a matrix before and after a stage, if this machine has both models."""
    st.header(f"Weights of {name}", anchor=False)
    try:
        spec = variant_spec(result.variant)
        if lacking := lacking_variants(spec, stage):
            offer_jobs(lacking, [format_chain(one.stages) for one in lacking])
            return []
        with st.spinner("Reading the weights ..."):
            pair = _read(spec, result.layers, stage, name)
    except UserError as error:
        st.caption(str(error))
        return []
    if pair.after is None:
        st.caption("The stage removed this matrix with its whole block, so it has no weights afterwards.")
        return []
    caption = f"{variant}: weights of {name}."
    return [_histogram(pair.before, pair.after, caption, file), *_patches(pair.before, pair.after, caption, file)]


@st.cache_data(max_entries=4, show_spinner=False)  # a choice of the patch needs the same matrix again
def _read(spec: VariantSpec, _layers: Sequence[LayerReport], stage: int, name: str) -> Matrices:
    return matrices(spec, _layers, stage, name)


def _histogram(before: np.ndarray, after: np.ndarray, caption: str, file: str) -> Item:
    weights = {"before": before[before != 0], "after": after[after != 0]}
    shares = ", ".join(
        f"{name} {format_percent(float((each == 0).mean()))}" for name, each in (("before", before), ("after", after))
    )
    caption += f" Without weights that are zero: {shares}."
    return widgets.show_chart(
        "inside_weights",
        partial(weight_histogram, weights),
        caption,
        pd.DataFrame({name: pd.Series(values).describe() for name, values in weights.items()}).reset_index(
            names="statistic"
        ),
        alt="Histogram of the nonzero weights before and after the stage",
        file=f"{file}-weights",
    )


def _patches(before: np.ndarray, after: np.ndarray, caption: str, file: str) -> list[Item]:
    """Show a square part of the matrix before and after, and the zeros of the latter."""
    with st.container(horizontal=True):
        origin = _start("First output", ROW, after.shape[0]), _start("First input", COLUMN, after.shape[1])
    rows, columns = (slice(start, start + PATCH) for start in origin)
    parts = {"Before": before[rows, columns], "After": after[rows, columns]}
    if before.shape != after.shape:
        st.caption("The stage changed the shape, so the same index means another weight before and after.")
    most = float(np.quantile(np.abs(parts["Before"]), EXACT)) or 1.0
    where = f"{PATCH} outputs from {origin[0]}, {PATCH} inputs from {origin[1]}."
    zeros = parts["After"] == 0
    mask = f"Mask ({format_percent(float(zeros.mean()))} zero)"
    shown = [
        (title, partial(weight_patch, part, origin, most, title=f"{title} (weight)"), part, f"{title} the stage")
        for title, part in parts.items()
    ]
    shown.append(("Mask", partial(mask_patch, zeros, origin, title=mask), zeros, "Zeros after the stage"))
    items = []
    with st.grid(3, min_column_width=CELL, gap="medium") as grid:
        for title, draw, part, content in shown:
            name, alt = title.lower(), f"{title}: a part of the matrix"
            notes, table = f"{caption} {content}: {where}", pd.DataFrame(part)
            with grid.cell():
                items.append(
                    widgets.show_chart(f"inside_patch_{name}", draw, notes, table, alt=alt, file=f"{file}-{name}")
                )
    return items


def _start(label: str, key: str, size: int) -> int:
    most = max(size - PATCH, 0)
    if st.session_state.get(key, 0) > most:
        st.session_state[key] = most  # another matrix is smaller
    return int(st.number_input(label, 0, most, 0, step=PATCH, key=key, **BOUND))
