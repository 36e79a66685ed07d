"""The tab of answers: one prompt to the dense model and up to three of its variants."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.answers.question import Question
from core.base.errors import UserError
from core.evaluation.generation.sampling import Sampling
from core.request.stages import build_stage, variant_spec
from dashboard import data
from dashboard.exports.files import Item
from dashboard.inside.answers import shown
from dashboard.inside.answers.form import (
    AGAIN,
    Candidates,
    candidates,
    pick_compared,
    pick_prompt,
    pick_sampling,
)
from dashboard.inside.answers.shown import Conversation, show_answers_to
from dashboard.inside.offers import offer_jobs
from dashboard.inside.selection import Subject
from dashboard.shared.literal import literal
from dashboard.shared.widgets import show_download_hint

CONVERSATION = "inside_answers_conversation"  # session key


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
        shown.answerer().stop(before.answers)
    every = [*keys, next(iter(found.names))]
    stored = data.results(every)
    one, *variants = [variant_spec(stored[key].variant) for key in (every[0], *keys)]
    dense = one.model_copy(update={"stages": (build_stage("dense"),)})
    try:
        question = Question(prompt=prompt, variants=(dense, *variants), chat=chat, sampling=sampling)
        conversation = Conversation(shown.answerer().ask(question), [found.short(key) for key in keys])
    except UserError as error:
        st.error(literal(str(error)))
        return None
    st.session_state[CONVERSATION] = conversation
    return conversation
