"""Viewer of the prompts of stored results, with coloured few-shot examples."""

from __future__ import annotations

import html

import pandas as pd
import streamlit as st

from core.analysis.fewshot import MEAN, describe_prompt, prompted, prompts_of
from core.analysis.reporting import TableRow
from core.data.cards import card
from core.errors import UserError
from core.models.sources import identify, load_tokenizer
from core.results import Measurement
from core.specs import Fewshot
from core.store.samples import AROUND
from dashboard import data
from dashboard.charts import fewshot
from dashboard.shared.binding import BOUND, check_link
from dashboard.shared.documents.access import missing_files, offer_documents, scored_task
from dashboard.shared.pickers import PROMPT

SHADES = {  # backgrounds with enough contrast in both themes
    "instruction": "rgba(204, 121, 167, .22)",
    "example": "rgba(86, 180, 233, .22)",
    "other": "rgba(0, 158, 115, .22)",  # every second example
    "question": "rgba(240, 228, 66, .28)",
    "reasoning": "rgba(213, 94, 0, .2)",
}
STYLE = "white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.6"


def show_prompt(model: str, found: pd.DataFrame) -> None:
    """Show the prompt of a chosen document; `found` are the rows of `core.analysis.fewshot` on the page."""
    rows = prompted(found[found["dataset"] != MEAN])
    st.header("Read a prompt", anchor=False)
    with st.container(horizontal=True):
        names = {name: fewshot.task_name(name, 1) for name in rows["dataset"].unique()}
        check_link("explore_prompt_task", "task", names.values(), names.__getitem__)
        dataset = st.selectbox("Task", list(names), format_func=names.__getitem__, key="explore_prompt_task", **BOUND)
        mine = rows[rows["dataset"] == dataset]
        kinds = {
            f"{k:g} example{'s' * (k != 1)}, {describe_prompt(prompts)}": (key, k, prompts)
            for key, k, prompts in mine[["key", "k", "prompts"]].itertuples(index=False)
        }
        check_link(PROMPT, "prompt", kinds)
        kind = st.selectbox("Prompt", list(kinds), key=PROMPT, **BOUND)
        key, k, prompts = kinds[kind]
        row = _measurement(key, dataset, int(k), prompts, mine["limit"].iloc[0])
        if row is None:
            st.caption("This result was deleted.")
            return
        number = st.number_input("Document", 1, int(row.n), 1, key="explore_prompt_document")
    if not st.toggle("Show the prompt", key="explore_prompt_shown"):
        return
    if missing := missing_files((card(dataset).file, card(dataset).pool)):
        offer_documents(names[dataset], missing, "explore_prompt_fetch")
        return
    answers = data.store().samples(key, row)
    if answers is None or "shots" not in answers:
        st.caption("The few-shot examples of this prompt are not stored.")
        return
    answer = answers.iloc[number - 1]
    try:
        with st.spinner("Reading the documents ..."):
            _show(model, dataset, row, int(number) - 1, {name: answer[name] for name in AROUND})
    except UserError as error:
        st.warning(str(error))


def _measurement(key: str, dataset: str, k: int, prompts: str, limit: float) -> Measurement | None:
    """Return the measurement of the prompts; None if another session deleted it."""
    result = data.results([key]).get(key)
    rows = (
        row
        for row in (result.measurements if result else ())
        if row.dataset == dataset
        and row.metric == card(dataset).metric
        and row.protocol.get("limit") == (None if pd.isna(limit) else int(limit))
        and (how := Fewshot.from_protocol(row.protocol.get("fewshot"))).k == k
        and prompts_of(how) == prompts
    )
    return next(rows, None)


def _show(model: str, dataset: str, row: Measurement, place: int, around: TableRow) -> None:
    from core.evaluation.fewshot.prompts import Prompt
    from core.evaluation.fewshot.read import reading

    how = Fewshot.from_protocol(row.protocol.get("fewshot"))
    tokenizer = load_tokenizer(identify(data.model_to_run(model))) if how.template == "chat" else None
    prompt = Prompt(
        shots=tuple(int(one) for one in around["shots"]),
        instruction=around["instruction"],
        reasoning=around["reasoning"],
    )
    read = reading(scored_task(dataset, row.protocol.get("limit"), str(how)), place, prompt, tokenizer)
    parts, examples = [], 0
    for kind, text in read.parts:
        shade = SHADES.get(kind)
        if kind == "example":
            examples += 1
            shade = SHADES["other"] if examples % 2 == 0 else shade
        shown = html.escape(text)
        parts.append(f'<span style="background:{shade}" title="{kind}">{shown}</span>' if shade else shown)
    st.html(f'<div style="{STYLE}">{"".join(parts)}</div>')
    st.caption(
        "Alternating colours: few-shot examples. Yellow: the question. Below: the scored answers, the correct first."
    )
    order = sorted(range(len(read.choices)), key=lambda choice: choice != read.right)
    scored = [html.escape(read.choices[choice].strip().rsplit("\n", 1)[-1]) for choice in order]
    st.html("".join(f"<li>{f'<b>{one}</b>' if not place else one}</li>" for place, one in enumerate(scored)))
