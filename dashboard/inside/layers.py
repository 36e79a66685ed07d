"""The tab of layers: a map, a histogram and a table of each matrix after a stage, alone or against another variant."""

from __future__ import annotations

import streamlit as st

from core.base.errors import UserError
from core.findings.inside.layers import ChangedLayers, changed_layers, layer_differences, stages_of
from core.findings.rows.stages import stage_name
from core.models.facts import config_of
from core.models.shape import head_width
from core.models.sources import identify_again
from core.notation.chain import file_name
from core.notation.formatting import capitalise
from core.request.resolve import scan_method
from core.results import Result
from dashboard import data
from dashboard.exports.files import Item, export_name, model_part
from dashboard.inside.layer_parts import Number, pick_matrix, pick_measure, show_maps, show_table
from dashboard.inside.matrix import show_matrix
from dashboard.inside.selection import Subject, pick_variants
from dashboard.inside.suggestion import show_suggestion
from dashboard.shared.binding import segments
from dashboard.shared.literal import literal
from dashboard.shared.sensitivity import offer_scan, show_notes, show_scan

STAGE, OTHER_STAGE = "inside_stage", "inside_other_stage"  # keys
HELP = "Maps and tables show the first variant minus this one. Leave it empty to see one variant."


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
    st.caption(one.sentence)
    measure = pick_measure(one.measures)
    name = pick_matrix(one.rows, measure.column)
    title = capitalise(measure.title)
    caption = f"{subject.model}, {one.name}: {measure.title} of each matrix. {title}: {measure.meaning}."
    file = _file(subject, one)
    items = show_maps(one.rows, Number(measure.column, measure.column, title, measure.title), name, caption, file)
    show_notes(one.rows)
    numbers = {each.column: (each.column, each.title) for each in one.measures}
    items.append(show_table(one.rows, numbers, caption, file))
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
    measure = pick_measure(measures)
    rows = layer_differences(first.rows, second.rows, measure.column)
    if rows.empty:
        st.info("These two stages report no common matrix, so they have no difference.")
        return []
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
