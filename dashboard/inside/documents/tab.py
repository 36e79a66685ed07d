"""The tab of documents: answers that two variants give differently, or why there are none to compare."""

from collections.abc import Collection, Hashable, Sequence
from functools import partial
from typing import NamedTuple

import pandas as pd
import streamlit as st
from sqlalchemy import URL

from core.data.cards import SEVEN, TASKS
from core.findings.inside.documents import (
    BOTH_RIGHT,
    BOTH_WRONG,
    BY_LENGTH,
    DIRECTIONS,
    FLIPS,
    OTHER_WRONG,
    TO_RIGHT,
    TO_WRONG,
    TaskFlips,
    answered,
    compare_answers,
    exact_p,
    task_name,
)
from core.findings.numbers.frame import protocol_sentence
from core.findings.numbers.paired import Difference
from core.findings.numbers.reporting import in_points, listed, p_words
from core.findings.numbers.seven import counted_tasks
from core.findings.question import small_ones
from core.findings.rows import naming, zeroshot
from core.findings.sharing import SharedTable, shared
from core.notation.formatting import capitalise
from core.results import Measurement, Result
from core.specs import DTYPES, ZERO_SHOT, Fewshot, precision_name
from dashboard import data
from dashboard.charts.documents import margin_chart
from dashboard.exports.files import Item, export_name, model_part
from dashboard.inside.documents.one import letter, open_document, pick_document, show_document
from dashboard.inside.offers import link_to_run, variant_address
from dashboard.inside.selection import Subject, pick_variants
from dashboard.shared import widgets
from dashboard.shared.binding import BOUND, number, select
from dashboard.shared.glossary import terms
from dashboard.shared.links import Address
from dashboard.shared.literal import literal

ALL = "All tasks"
SPACE = "\N{NO-BREAK SPACE}"
NOTES = (
    "Brackets: 95 % interval of the paired difference. p: paired test on the same documents, of each number alone, "
    "as in a comparison on Explore. McNemar's exact test has no interval; it asks whether flips to wrong and to right "
    "are equally likely."
)
TASK, DIRECTION, CHANGE = "inside_doc_task", "inside_doc_direction", "inside_doc_change"  # keys
NARROWEST, MOST_NATS, STEP = 200, 1000.0, 0.5  # px of a field; nats
GROUPS = {
    "Flips": FLIPS,
    "Right to wrong": (TO_WRONG,),
    "Wrong to right": (TO_RIGHT,),
    "Both right": (BOTH_RIGHT,),
    "Both wrong": (BOTH_WRONG, OTHER_WRONG),
    "Both wrong, choice changed": (OTHER_WRONG,),
    "All documents": DIRECTIONS,
}
SIDE = 380  # minimum width in px of the chart and of the document
NATS = "%+.2f"


class Compared(NamedTuple):
    """The tasks of two variants by label, and the documents of each and of `ALL`."""

    tasks: dict[str, TaskFlips]
    documents: dict[str, SharedTable]  # of `compare_documents`, with the task and the label of each document
    overall: Difference | None  # None without a common task
    without_choices: tuple[str, ...]
    unpaired: tuple[str, ...]


def compare(model: str, baseline: str, variant: str) -> Compared:
    """Compare the stored answers of two variants of a model, by their keys."""
    return _compared(data.store().url, data.stamp_of(model), baseline, variant)


@st.cache_resource(max_entries=16, show_spinner=False)
def _compared(url: URL, stamp: Hashable, baseline: str, variant: str) -> Compared:
    there = data.results([baseline, variant])
    if len(there) < 2:  # one was deleted since; the next run shows that
        return Compared({}, {}, None, (), ())
    found = compare_answers(there[baseline], there[variant], data.store().samples)
    tasks = {task_name(task.measurement.dataset): task for task in found.tasks}
    documents = {}
    for name, task in tasks.items():
        labels = [f"{name} {number}" for number in task.documents["document"]]
        documents[name] = task.documents.assign(task=name, label=labels)
    if len(documents) > 1:
        documents[ALL] = pd.concat(documents.values(), ignore_index=True)
    shared = {name: SharedTable(rows) for name, rows in documents.items()}
    return Compared(tasks, shared, found.overall if tasks else None, found.without_choices, found.unpaired)


def describe_protocols(tasks: dict[str, TaskFlips]) -> str:
    """Return the protocols of tasks, with the tasks of each if there are several: `0-shot, first 500 documents`."""
    named: dict[str, list[str]] = {}
    for name, task in tasks.items():
        row = task.measurement  # the version of the task's definition differs between tasks
        protocol = {key: value for key, value in row.protocol.items() if key != "version"}
        named.setdefault(protocol_sentence(row.model_copy(update={"protocol": protocol})), []).append(name)
    if len(named) == 1:
        return next(iter(named))
    return "; ".join(f"{listed(names)}: {protocol}" for protocol, names in named.items())


def flip_sentence(name: str, found: Difference, accuracy: str = "accuracy") -> str:
    """Write the flips of a task and the paired difference of its accuracy, variant minus baseline."""
    p = p_words(found.p).replace(" ", SPACE)
    return (
        f"**{literal(name)}**: {found.lost:,} of {found.n:,} documents flip to wrong and {found.gained:,} to right: "
        f"{in_points(found.difference, found.low, found.high)} points of {accuracy}"
        f"{f', p{SPACE}{p}' if p else ''}."
    )


def headline(name: str, compared: Compared, counted: Collection[str]) -> str:
    """Write how many answers flip: `GPTQ 4, emb 8 loses 190 right answers and gains 147, of 3,000 documents`.

    `counted` are the tasks on which the dense model shows knowledge. Without one of these every task counts.
    """
    every = [task for task in compared.tasks.values() if task.measurement.dataset in counted]
    flips = [task.difference for task in every or compared.tasks.values()]
    lost, gained, n = (sum(getattr(one, count) or 0 for one in flips) for count in ("lost", "gained", "n"))
    where = " in tasks above chance" if every else ""
    return f"{literal(name)} loses {lost:,} right answers and gains {gained:,}, of {n:,} documents{where}"


def task_sentences(compared: Compared) -> dict[str, str]:
    """Return the sentence of each task, by label."""
    sentences = {}
    for name, task in compared.tasks.items():
        p = p_words(exact_p(task.difference)).replace(" ", SPACE)
        exact = f" McNemar's exact test: p{SPACE}{p}." if p else ""
        sentences[name] = flip_sentence(name, task.difference) + exact
    return sentences


def chart_notes(names: tuple[str, str]) -> str:
    """Explain the chart; `names` are those of the baseline and of the variant."""
    return (
        f"Each point is a document. Right of the vertical line, {names[0]} gives the right choice the highest "
        f"log-likelihood; above the horizontal line, {names[1]} does. Below the dashed line, the margin of {names[1]} "
        "is the lower one."
    )


def margin_notes(compared: Compared, task: str) -> str:
    """Explain the margins of a task that counts acc_norm, or of all tasks if some do; empty for others."""
    by_length = [name for name, one in compared.tasks.items() if one.measurement.metric == BY_LENGTH]
    names = [name for name in by_length if task in (name, ALL)]
    if not names:
        return ""
    return (
        f" {listed(names)}: right and wrong follow acc_norm, which divides log-likelihoods by the choice's length. "
        "Margins do not, so points may lie across the lines at 0. "
        "Wrong choices among three or more are not stored, so their cells are empty."
    )


class Filters(NamedTuple):
    """The values of the filters."""

    task: str  # its label, or `ALL`
    group: str  # of `GROUPS`
    change: float  # nats

    def describe(self) -> str:
        """Return the group and the least change for a caption: `flips whose margin changed by at least 2 nats`."""
        group = self.group.lower()
        return f"{group} whose margin changed by at least {self.change:g} nats" if self.change else group


def pick_filters(tasks: Sequence[str]) -> Filters:
    """Show the fields of the filters; `tasks` are the labels of the tasks."""
    options = [*tasks, *([ALL] if len(tasks) > 1 else [])]
    with st.grid(3, min_column_width=NARROWEST):
        task = select("Task", options, TASK, "task")
        help = "Flips are both right to wrong and wrong to right."
        group = select("Direction", list(GROUPS), DIRECTION, "direction", help=help)
        help = "Hides documents whose margin changed by less, up or down. A large change is a confident one."
        title, limits, style = "Least change of margin (nats)", (0.0, MOST_NATS), "%g"
        change = number(title, limits, 0.0, CHANGE, "change", BOUND, step=STEP, format=style, help=help)
    return Filters(task, group, change)


@shared
def filtered(documents: pd.DataFrame, group: str, change: float) -> pd.DataFrame:
    """Return the documents of a group whose margin changed enough, the largest change first."""
    rows = documents[documents["direction"].isin(GROUPS[group])]
    size = rows["margin_change"].abs()
    size = size[size >= change] if change else size  # a change that is not finite stays without a filter
    return rows.loc[size.sort_values(ascending=False, kind="stable").index]


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
    variant, baseline = pick_variants(subject, "The baseline of each change.", subject.dense, _small(subject))
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
    counted = counted_tasks(zeroshot.of_dense(zeroshot.headline(subject.rows)))
    st.header(headline(names[1], compared, counted), anchor=False)
    filters = pick_filters(list(compared.tasks))
    _show_sentences(compared, filters.task)
    return _show_filtered(subject.model, names, compared, filters)


def _small(subject: Subject) -> str | None:
    """Return the key of the best small variant with stored answers, if there is one."""
    scored = zeroshot.scored(subject.rows)
    keys = [key for key in small_ones(subject.rows, subject.model, data.corpora_here()[0], data) if key in scored]
    read = ((key, data.result(key)) for key in keys)
    return next((key for key, one in read if one is not None and answered(one, data.store().samples)), None)


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
