"""One document: its question and choices, with the log-likelihoods of both variants."""

from collections.abc import Sequence
from html import escape
from string import ascii_uppercase
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.base.errors import UserError
from core.data.cards import card
from core.data.tasks import identify_task
from core.findings.inside.documents import BY_LENGTH, UNKNOWN, TaskFlips, choice_by_length
from dashboard.shared.binding import BOUND, check_link
from dashboard.shared.documents import missing_files, offer_files, scored_task
from dashboard.shared.literal import literal

CSS = """
<style>
.choices { width: 100%; border-collapse: collapse; font-size: 14px; }
.choices th, .choices td {
  text-align: left; vertical-align: top; padding: 6px 8px; border-top: 1px solid rgba(128, 128, 128, .4);
  overflow-wrap: anywhere;
}
.choices th { overflow-wrap: break-word; }
.choices th[scope="row"] { width: 1px; white-space: nowrap; }
.choices .number { text-align: right; }
.choices td.number { white-space: nowrap; }
.choices tr.right { background: rgba(0, 158, 115, .18); }
.choices small { display: block; }
</style>
"""
DOCUMENT = "inside_doc_document"  # key of the field and parameter of the address
TEXT = "white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.5"


def letter(choice: int) -> str | None:
    """Return the letter of a choice; None if it is unknown."""
    return None if choice == UNKNOWN else ascii_uppercase[choice] if choice < len(ascii_uppercase) else str(choice + 1)


class Choices(NamedTuple):
    """The choices of a document: their texts, if known, and the place of the one that each variant makes."""

    texts: Sequence[str]
    chosen: tuple[int, int]  # of the baseline and the variant; may be `UNKNOWN`


def choices_html(row: pd.Series, choices: Choices, names: tuple[str, str]) -> str:
    """Return the choices as HTML, with the right one marked and the log-likelihoods of both variants."""
    heads = "".join(f'<th scope="col" class="number">{escape(name)}</th>' for name in names)
    lines = [f'<tr><th scope="col" colspan="2">Choice</th>{heads}</tr>']
    pairs = zip(row["baseline_loglikelihoods"], row["variant_loglikelihoods"], strict=True)
    for place, numbers in enumerate(pairs):
        right = bool(place == row["right"])
        text = escape(choices.texts[place]) if choices.texts else ""
        cells = "".join(
            f'<td class="number"><b>{number:.2f}</b><small>chosen</small></td>'
            if place == chosen
            else f'<td class="number">{number:.2f}</td>'
            for number, chosen in zip(numbers, choices.chosen, strict=True)
        )
        mark = "<small>right</small>" if right else ""
        lines.append(
            f"<tr{' class=right' * right}><th scope='row'>{letter(place)}{mark}</th><td>{text}</td>{cells}</tr>"
        )
    return f'{CSS}<table class="choices">{"".join(lines)}</table>'


def pick_document(labels: Sequence[str]) -> str | None:
    """Show the field of the document, as a click in the chart sets it, and return its label."""
    check_link(DOCUMENT, "document", labels)
    empty = "Click a point of the chart, or choose here"
    return st.selectbox("Document", list(labels), index=None, key=DOCUMENT, placeholder=empty, **BOUND)


def open_document(labels: Sequence[str]) -> None:
    """Choose the document of a clicked point with the next script run."""
    if labels:
        st.session_state[DOCUMENT] = labels[-1]


def show_document(row: pd.Series, task: TaskFlips, name: str, names: tuple[str, str]) -> None:
    """Show a document, a row of `core.findings.inside.documents`, and the log-likelihoods of its choices.

    `name` is the label of its task, and `names` are those of the baseline and of the variant.
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
        offer_files(name, missing, "inside_doc_fetch")
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
