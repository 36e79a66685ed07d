"""The tab of documents: answers that two variants give differently, or why there are none to compare."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from core.data.cards import SEVEN, TASKS
from core.findings.inside.flips import answered
from core.findings.rows import naming
from core.findings.sharing import shared
from core.notation.formatting import capitalise
from core.results import Measurement, Result
from core.specs import DTYPES, ZERO_SHOT, Fewshot, precision_name
from dashboard import data
from dashboard.charts.documents import margin_chart
from dashboard.exports.files import Item, export_name, model_part
from dashboard.inside.documents.compared import (
    ALL,
    NOTES,
    Compared,
    Filters,
    chart_notes,
    compare,
    describe_protocols,
    filtered,
    flip_sentence,
    margin_notes,
    pick_filters,
    task_sentences,
)
from dashboard.inside.documents.one import letter, open_document, pick_document, show_document
from dashboard.inside.offers import link_to_run, variant_address
from dashboard.inside.selection import Subject, pick_variants
from dashboard.shared import widgets
from dashboard.shared.glossary import terms
from dashboard.shared.links import Address
from dashboard.shared.literal import literal

SIDE = 380  # minimum width in px of the chart and of the document
NATS = "%+.2f"


def show_missing(keys: tuple[str, str], names: tuple[str, str], compared: Compared) -> None:
    """Show why a baseline and a variant share no answers, and offer to measure them; `compared` has no task."""
    there = data.results(keys)
    if len(there) < len(keys):
        return  # one was deleted
    baseline, variant = (there[key] for key in keys)
    known = [answered(one, data.store().samples) for one in (baseline, variant)]
    called_names = [literal(name) for name in names]
    without = [name for name, rows in zip(called_names, known, strict=True) if not rows]
    if without:
        verb = "have" if len(without) > 1 else "has"
        st.info(f"{' and '.join(without)} {verb} no stored answers to tasks with choices, which this tab compares.")
    elif compared.unpaired:
        st.info(literal(compared.unpaired[0]))
        return
    else:
        st.info(f"{' and '.join(called_names)} have no stored answers to a common task under the same protocol.")
    pairs = [(variant, names[1], known[0])] if known[0] else []
    if not known[0]:
        pairs = [(baseline, names[0], known[1]), *([] if known[1] else [(variant, names[1], known[0])])]
    for result, name, rows in pairs:
        if result.variant.is_external:
            st.caption(f"{literal(name)} was not measured by this project; import its answers on the Run page.")
        else:
            link_to_run(f"Measure {literal(name)}", measuring_address(result, rows))


def measuring_address(result: Result, wanted: Sequence[Measurement]) -> Address:
    """Return the address of the Run page that measures a variant on the tasks and under the protocol of another.

    Without measurements of another (`wanted`), the tasks are the papers' seven.
    """
    variant, address = result.variant, variant_address(result.variant)
    zero_shot = [row for row in wanted if Fewshot.from_protocol(row.protocol.get("fewshot")) == ZERO_SHOT]
    if not zero_shot:
        return address | {"run_tasks": [TASKS[name].label for name in SEVEN]}
    limit, precision = (zero_shot[0].protocol.get(name) for name in ("limit", "dtype"))
    tasks = [row.dataset.partition("@")[0] for row in zero_shot if row.protocol.get("limit") == limit]
    address |= {"run_tasks": [TASKS[name].label for name in dict.fromkeys(tasks)], "run_limit": str(limit or 0)}
    if precision in DTYPES and precision != variant.dtype:
        address["run_scoring"] = precision_name(precision)
    return address


def show_documents(subject: Subject) -> list[Item]:
    """Show the documents that two variants answer differently."""
    variant, baseline = pick_variants(subject, "The baseline of each change.", subject.dense)
    if baseline is None:
        st.info("Choose a variant to compare with.")
        return []
    if baseline == variant:
        st.info("Choose two different variants; both fields have the same one.")
        return []
    pair = naming.variant_names(subject.rows[subject.rows["key"].isin((baseline, variant))])
    names = pair[baseline], pair[variant]
    with st.skeleton(SIDE):  # the first run reads the answers of every document
        compared = compare(subject.model, baseline, variant)
    if not compared.tasks:
        show_missing((baseline, variant), names, compared)
        return []
    filters = pick_filters(list(compared.tasks))
    _show_sentences(compared, filters.task)
    return _show_filtered(subject.model, names, compared, filters)


def _show_sentences(compared: Compared, task: str) -> None:
    """Show the flips of the chosen task and of all, those of the other tasks folded."""
    sentences = task_sentences(compared)
    chosen = list(sentences.values()) if task == ALL else [sentences[task]]
    if compared.overall is not None and len(sentences) > 1:
        chosen.append(flip_sentence(ALL, compared.overall, "mean accuracy"))
    st.markdown("\n".join(f"- {sentence}" for sentence in chosen))
    st.caption(NOTES + margin_notes(compared, task))
    rest = [sentence for name, sentence in sentences.items() if name != task]
    if task != ALL and rest:
        with st.expander("The other tasks"):
            st.markdown("\n".join(f"- {sentence}" for sentence in rest))
    for reason in compared.unpaired:
        st.caption(literal(reason))


def _show_filtered(model: str, names: tuple[str, str], compared: Compared, filters: Filters) -> list[Item]:
    """Show the chart, the chosen document and the table of the documents that match the filters."""
    documents = compared.documents[filters.task]
    shown = filtered(documents, filters.group, filters.change)
    tasks = compared.tasks if filters.task == ALL else {filters.task: compared.tasks[filters.task]}
    caption = (
        f"{model}, {filters.task}: {names[1]} compared with {names[0]}, {describe_protocols(tasks)}. "
        f"Shown: {filters.describe()}, {len(shown):,} of {len(documents):,} documents. "
        "Margin: log-likelihood of the right choice minus the highest other one, in nats."
        f"{margin_notes(compared, filters.task)}"
    )
    file = export_name(model_part(model), *reversed(names), filters.task, "documents")
    with st.grid(2, min_column_width=SIDE, gap="medium") as grid:
        with grid.cell():
            place = st.container()
        with grid.cell():
            label = pick_document(list(documents["label"]))
            if label is None:
                st.markdown(f"{literal(chart_notes(names))} Click a point to read its document.")
            else:
                row = documents[documents["label"] == label].iloc[0]
                show_document(row, compared.tasks[row["task"]], row["task"], names)
    with place:
        chart = widgets.show_chart(
            "inside_doc_margins",
            partial(margin_chart, documents, shown, names, chosen=label),
            caption,
            document_table(documents, names),
            alt=f"Margin of {names[1]} against that of {names[0]}, a point per document of {filters.task}",
            file=f"{file}-margins",
            on_select=open_document,
            explained=f" {chart_notes(names)}",
        )
    if shown.empty:
        st.info("No document matches the filters. Lower the least change, or choose another direction.")
        return [chart]
    st.header("Documents", anchor=False, help=terms(("flip", "margin")))
    table = document_table(shown, names)
    item = widgets.show_table("inside_doc_table", table, caption, formats(table), file=file, captioned=False)
    if compared.without_choices:
        st.caption(f"{', '.join(compared.without_choices)} has one continuation per document, so it has no margins.")
    return [chart, item]


@shared
def document_table(rows: pd.DataFrame, names: tuple[str, str]) -> pd.DataFrame:
    """Return the table of documents, rows of `core.findings.inside.documents` with their labels."""
    sides = dict(zip(("baseline", "variant"), names, strict=True))
    table = {"Document": rows["label"], "Direction": rows["direction"].map(capitalise)}
    table["Right choice"] = rows["right"].map(letter)
    table["Margin: change"] = rows["margin_change"]
    for column, heading in (("margin", "Margin"), ("choice", "Choice")):
        for side, name in sides.items():
            values = rows[f"{side}_{column}"]
            table[f"{heading}: {name}"] = values.map(letter) if column == "choice" else values
    for side, name in sides.items():
        lists = rows[f"{side}_loglikelihoods"]
        for place in range(max(map(len, lists), default=0)):
            values = lists.map(lambda one, place=place: one[place] if place < len(one) else None)
            table[f"Log-likelihood, {name}: {letter(place)}"] = values.astype(float)
    return pd.DataFrame(table).reset_index(drop=True)


def formats(table: pd.DataFrame) -> dict[str, str]:
    """Return the formats of the columns in nats."""
    nats = [str(name) for name in table if str(name).startswith(("Margin: ", "Log-likelihood, "))]
    return {name: NATS if name.startswith("Margin") else "%.2f" for name in nats}
