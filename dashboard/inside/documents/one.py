"""One document: its question and choices, with the log-likelihoods of both variants."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import pandas as pd
import streamlit as st

from core.base.errors import UserError
from core.data.cards import card
from core.data.tasks import identify_task
from core.findings.inside.documents import BY_LENGTH, UNKNOWN, choice_by_length
from core.findings.inside.flips import TaskFlips
from dashboard.inside.documents.choices import Choices, choices_html
from dashboard.shared.binding import BOUND, check_link
from dashboard.shared.documents.access import missing_files, offer_documents, scored_task
from dashboard.shared.literal import literal

DOCUMENT = "inside_doc_document"  # key of the field and parameter of the address
TEXT = "white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.5"


def pick_document(labels: Sequence[str]) -> str | None:
    """Show the field of the document, as a click in the chart sets it, and return its label."""
    check_link(DOCUMENT, "document", labels)
    return st.selectbox(
        "Document",
        list(labels),
        index=None,
        key=DOCUMENT,
        placeholder="Click a point of the chart, or choose here",
        **BOUND,
    )


def open_document(labels: Sequence[str]) -> None:
    """Choose the document of a clicked point with the next script run."""
    if labels:
        st.session_state[DOCUMENT] = labels[-1]


def show_document(row: pd.Series, task: TaskFlips, name: str, names: tuple[str, str]) -> None:
    """Show a document and the log-likelihoods of its choices.

    Args:
        row: Its row of `core.findings.inside.documents`.
        task: Its task.
        name: Label of the task.
        names: Names of the baseline and of the variant.
    """
    margins = [f"{row[f'{side}_margin']:+.2f}" for side in ("baseline", "variant")]
    st.markdown(
        f"**{literal(row['label'])}**: {row['direction']}. Margin of {literal(names[0])} {margins[0]} nats, "
        f"of {literal(names[1])} {margins[1]} nats: a change of {row['margin_change']:+.2f}."
    )
    stored = Choices((), (row["baseline_choice"], row["variant_choice"]))
    dataset = task.measurement.dataset
    if missing := missing_files([card(dataset).file]):
        st.html(choices_html(row, stored, names))
        offer_documents(name, missing, "inside_doc_fetch")
        return
    try:
        with st.spinner("Reading the documents ..."):
            text, choices = _read(row, task)
    except UserError as error:
        st.html(choices_html(row, stored, names))
        st.warning(str(error))
        return
    if text:
        st.html(f'<div style="{TEXT}">{escape(text)}</div>')
    st.html(choices_html(row, choices, names))
    if not text:
        st.caption("The choices fill a gap; the log-likelihood is that of the text after it.")
    if task.measurement.metric == BY_LENGTH:
        st.caption("acc_norm chooses by the log-likelihood per character.")


def _read(row: pd.Series, task: TaskFlips) -> tuple[str, Choices]:
    """Return the question of a document and its choices."""
    from core.evaluation.fewshot.read import read_question

    dataset = task.measurement.dataset
    parts = scored_task(dataset, task.measurement.protocol.get("limit"))
    question = read_question(parts, row["document"] - 1)
    if identify_task(dataset).id != dataset or len(question.choices) != len(row["variant_loglikelihoods"]):
        raise UserError("The documents of this task on this machine are not the scored ones, so no text is shown.")
    chosen = []
    for side in ("baseline", "variant"):
        choice = row[f"{side}_choice"]
        if choice == UNKNOWN and task.measurement.metric == BY_LENGTH:
            choice = choice_by_length(row[f"{side}_loglikelihoods"], question.lengths)
        chosen.append(choice)
    return question.text, Choices(question.choices, (chosen[0], chosen[1]))
