"""The tab of answers: one prompt to the dense model and up to three of its variants, answered side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from core.answers.client import Answerer, Answers
from core.answers.question import Question
from core.base.errors import UserError, counted
from core.evaluation.generation.sampling import Sampling, Token
from core.findings.inside.answers import agreement
from core.request.stages import build_stage, variant_spec
from dashboard import data
from dashboard.exports.files import Item
from dashboard.inside.answers.form import (
    AGAIN,
    Candidates,
    candidates,
    pick_compared,
    pick_prompt,
    pick_sampling,
)
from dashboard.inside.answers.tokens import show_tokens
from dashboard.inside.offers import offer_jobs
from dashboard.inside.selection import Subject
from dashboard.shared.literal import literal
from dashboard.shared.widgets import show_download_hint

UNSEEN = {"\n": "a line break", "\n\n": "an empty line", "": "a part of a character", " ": "a space"}
REFRESH_SECONDS = 0.3
NARROWEST = 180  # px of an answer
LEGEND = (
    "A stronger colour marks a less likely token, and a frame the first difference from dense. Hover over a token, or "
    "move with the arrow keys, to see the five likeliest."
)
CONVERSATION = "inside_answers_conversation"  # session key


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


def show_answers(subject: Subject) -> list[Item]:
    """Show the form of a question, and the answers to the last one; prompts are private, so nothing is exported."""
    found = candidates(subject)
    if not found.names:
        st.info("This model has no variant that this machine can create. Run one, or choose another model.")
        return []
    show_download_hint(subject.model)
    prompt = pick_prompt()
    chosen = pick_compared(found)
    sampling, chat = pick_sampling()
    results = data.results(chosen)
    missing = [key for key in chosen if key not in found.cached and key in results]
    if missing:
        offer_jobs([variant_spec(results[key].variant) for key in missing], [found.short(key) for key in missing])
    # Not a callback, which would miss a prompt typed just before the click.
    wanted = st.button("Generate answers", type="primary", key="inside_answers_start", disabled=not prompt)
    conversation: Conversation | None = st.session_state.get(CONVERSATION)
    again = st.session_state.pop(AGAIN, False) and conversation is not None
    if wanted or (again and prompt):
        ready = [key for key in chosen if key in found.cached and key in results]
        conversation = _ask(found, ready, prompt, sampling, chat)
    if conversation:
        show_answers_to(conversation)
    return []


def _ask(found: Candidates, keys: Sequence[str], prompt: str, sampling: Sampling, chat: bool) -> Conversation | None:
    """Put the question to the dense model and the variants, in place of the session's last question."""
    before: Conversation | None = st.session_state.pop(CONVERSATION, None)
    if before:
        answerer().stop(before.answers)
    every = [*keys, next(iter(found.names))]
    stored = data.results(every)
    one, *variants = [variant_spec(stored[key].variant) for key in (every[0], *keys)]
    dense = one.model_copy(update={"stages": (build_stage("dense"),)})
    try:
        question = Question(prompt=prompt, variants=(dense, *variants), chat=chat, sampling=sampling)
        conversation = Conversation(answerer().ask(question), [found.short(key) for key in keys])
    except UserError as error:
        st.error(literal(str(error)))
        return None
    st.session_state[CONVERSATION] = conversation
    return conversation
