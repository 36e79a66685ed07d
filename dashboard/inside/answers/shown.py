"""The answers side by side: their tokens while they grow, and the sentences on their differences."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from core.answers.client import Answerer, Answers
from core.base.errors import counted
from core.evaluation.generation.sampling import Token
from core.findings.inside.answers import agreement
from dashboard import data
from dashboard.inside.answers.tokens import show_tokens
from dashboard.shared.literal import literal

UNSEEN = {"\n": "a line break", "\n\n": "an empty line", "": "a part of a character", " ": "a space"}
REFRESH_SECONDS = 0.3
NARROWEST = 180  # px of an answer
LEGEND = (
    "A stronger colour marks a less likely token, and a frame the first difference from dense. Hover over a token, or "
    "move with the arrow keys, to see the five likeliest."
)


def difference(name: str, dense: Sequence[Token], other: Sequence[Token], greedy: bool) -> str:
    """Return the sentence on the first difference of an answer from the dense model's answer."""
    found = agreement(_ids(dense), _ids(other))
    kind = "greedy" if greedy else "drawn"
    share = f"{found.equal} of {found.dense} {kind} tokens, {100 * found.share:.0f} %"
    if found.place is None:
        whole = "for the whole answer" if found.equal == found.dense else "as far as it goes"
        return f"{literal(name)} equals dense {whole} ({share})."
    first, second = (_quoted(tokens[found.place]) for tokens in (other, dense))
    if not found.place:
        return f"{literal(name)} differs from dense at the first token: it has {first} instead of {second} ({share})."
    return f"{literal(name)} equals dense at the start ({share}), then has {first} instead of {second}."


def _ids(tokens: Sequence[Token]) -> list[int]:
    return [token.id for token in tokens]


def _quoted(token: Token) -> str:
    if token.ends:
        return "its end"
    text = " ".join(token.text.split())
    return UNSEEN.get(token.text) or (f"“{literal(text)}”" if text else "white space")


@st.cache_resource(show_spinner=False)
def answerer() -> Answerer:
    """Return the process, which starts with the first question and ends with the server."""
    return Answerer()


class Conversation(NamedTuple):
    """The answers to a question, and the names of its variants after the dense model."""

    answers: Answers
    names: Sequence[str]


def show_answers_to(conversation: Conversation) -> None:
    """Show the answers to a question; refresh them while they grow."""
    answers, growing = conversation.answers, conversation.answers.active

    @st.fragment(run_every=REFRESH_SECONDS if growing else None)
    def renewed() -> None:
        answers.watched = time.monotonic()
        active = answers.active  # before the tokens, so that the last ones are shown
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(_state(answers), width="content")
            if active and not answers.stopped:
                icon, stop = ":material/stop:", answerer().stop
                st.button("Stop", key="inside_answers_stop", icon=icon, on_click=stop, args=(answers,))
        if answers.error:
            st.error(literal(answers.error))
        names = ["Dense", *conversation.names]
        with st.grid(len(names), min_column_width=NARROWEST, gap="medium") as grid:
            for place, name in enumerate(names):
                with grid.cell():
                    _show_answer(answers, place, name, active)
        _show_differences(answers, conversation.names, active)
        if growing and not active:
            st.rerun()  # without refreshing

    renewed()


def _state(answers: Answers) -> str:
    """Return the state of a question in Markdown."""
    if answers.stopped:
        return ":material/stop_circle: Stopped."
    if answers.state == "queued":
        return ":material/hourglass_top: Waits for the process of the answers, which starts or has another question."
    if answers.state == "running":
        beside = any(job.state == "running" for job in data.active_jobs())
        return ":material/bolt: Generating" + (" beside a running job, which slows both down." if beside else ".")
    return ":material/check: Generated." if answers.state == "done" else ":material/error: Failed."


def _show_answer(answers: Answers, place: int, name: str, active: bool) -> None:
    answer, dense = answers.answers[place], answers.answers[0]
    st.markdown(f"**{literal(name)}**")
    if answer.error:
        st.error(literal(answer.error))
    differs = agreement(*([token.id for token in one.tokens] for one in (dense, answer))).place
    show_tokens(f"inside_answers_tokens_{place}", f"Answer of {name}", answers.number, list(answer.tokens), differs)
    count, most = len(answer.tokens), answers.question.sampling.tokens
    progress = f"{counted(count, 'token')}{', the most allowed' if count == most else ''}"
    st.caption("Loading the model" if answer.state == "loading" and active else progress)


def _show_differences(answers: Answers, names: Sequence[str], active: bool) -> None:
    """Show a sentence for each complete answer, and the legend."""
    dense, *others = answers.answers
    if not active and dense.tokens:
        for name, answer in zip(names, others, strict=True):
            if answer.tokens:
                st.markdown(difference(name, dense.tokens, answer.tokens, answers.question.sampling.greedy))
    if dense.tokens or any(one.tokens for one in others):
        st.caption(LEGEND)
