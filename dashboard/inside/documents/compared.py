"""Two variants compared document by document, shared by all sessions until a result of the model changes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

import pandas as pd
import streamlit as st
from sqlalchemy import URL

from core.findings.inside.flips import TaskFlips, compare_answers, task_name
from core.findings.numbers.frame import protocol_sentence
from core.findings.numbers.paired import Difference
from core.findings.numbers.reporting import listed
from core.findings.sharing import SharedTable
from core.results import Measurement
from dashboard import data

ALL = "All tasks"


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
    documents = {name: _labelled(name, task.documents) for name, task in tasks.items()}
    if len(documents) > 1:
        documents[ALL] = pd.concat(documents.values(), ignore_index=True)
    shared = {name: SharedTable(rows) for name, rows in documents.items()}
    return Compared(tasks, shared, found.overall if tasks else None, found.without_choices, found.unpaired)


def _labelled(task: str, documents: pd.DataFrame) -> pd.DataFrame:
    labels = [f"{task} {number}" for number in documents["document"]]
    return documents.assign(task=task, label=labels)


def describe_protocols(tasks: dict[str, TaskFlips]) -> str:
    """Return the protocols of tasks, with the tasks of each if there are several: `0-shot, first 500 documents`."""
    named: dict[str, list[str]] = {}
    for name, task in tasks.items():
        named.setdefault(_without_version(task.measurement), []).append(name)
    if len(named) == 1:
        return next(iter(named))
    return "; ".join(f"{listed(names)}: {protocol}" for protocol, names in named.items())


def _without_version(row: Measurement) -> str:
    """Describe a protocol without the version of the task's definition, which differs between tasks."""
    rest = {name: value for name, value in row.protocol.items() if name != "version"}
    return protocol_sentence(row.model_copy(update={"protocol": rest}))
