"""Two variants compared document by document: the sentences on their flips, and the filters of the documents."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import pandas as pd
import streamlit as st
from sqlalchemy import URL

from core.findings.inside.documents import (
    BOTH_RIGHT,
    BOTH_WRONG,
    BY_LENGTH,
    DIRECTIONS,
    FLIPS,
    OTHER_WRONG,
    TO_RIGHT,
    TO_WRONG,
)
from core.findings.inside.flips import TaskFlips, compare_answers, exact_p, task_name
from core.findings.numbers.frame import protocol_sentence
from core.findings.numbers.paired import Difference
from core.findings.numbers.reporting import in_points, listed, p_words
from core.findings.sharing import SharedTable, shared
from dashboard import data
from dashboard.shared.binding import BOUND, number, select
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
