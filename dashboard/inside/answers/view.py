"""The tab of answers: one prompt to the dense model and up to three of its variants, answered side by side."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.answers.client import Answerer, Answers
from core.answers.question import MOST_COMPARED, MOST_PROMPT, MOST_TOKENS, Question
from core.answers.shipped import PROMPTS, SAMPLING, shipped_answers
from core.base.errors import UserError, counted
from core.base.paths import cached_variant
from core.evaluation.generation.sampling import Sampling, Token
from core.findings.inside.documents import agreement
from core.findings.rows import naming, points
from core.request.stages import build_stage, variant_spec
from core.specs import IMPORTED, sha256
from dashboard import data
from dashboard.exports.files import Item
from dashboard.inside.answers.tokens import show_tokens
from dashboard.inside.offers import offer_jobs
from dashboard.inside.selection import Subject
from dashboard.shared.binding import BOUND, KEPT, check_link, check_named, multiselect, number
from dashboard.shared.literal import literal
from dashboard.shared.widgets import show_download_hint

FIRST = "A fact"
PREPARED, VARIANTS = "inside_answers_prompt", "inside_answers_variants"  # keys and parameters of the address
TEXT = "inside_answers_text"  # key of the prompt, which is in no address
AGAIN = "inside_answers_again"  # session key: whether a moved slider generates the answers again
TOKENS, TEMPERATURE, TOP_P, SEED, CHAT = (
    f"inside_answers_{name}" for name in ("tokens", "temperature", "top_p", "seed", "chat")
)
LARGEST_SEED = 2**31 - 1
FIELD = 150  # px of a field
UNSEEN = {"\n": "a line break", "\n\n": "an empty line", "": "a part of a character", " ": "a space"}
REFRESH_SECONDS = 0.3
NARROWEST = 180  # px of an answer
LEGEND = (
    "A stronger colour marks a less likely token, and a frame the first difference from dense. Hover over a token, or "
    "move with the arrow keys, to see the five likeliest."
)
CONVERSATION = "inside_answers_conversation"  # session key


class Candidates(NamedTuple):
    """The compressed variants of a model that this program can load or create."""

    names: Mapping[str, str]  # by key, those with bundled answers and those in the cache first
    shipped: list[str]  # keys of those with bundled answers
    cached: frozenset[str]  # keys
    rows: pd.DataFrame  # one per variant

    @property
    def first(self) -> list[str]:
        """The variants that the page chooses first: those with bundled answers.

        Without any it is a cached one at the usual amount, as far as there is one.
        """
        if self.shipped:
            return self.shipped[:MOST_COMPARED]
        usual = set(self.rows.loc[points.removals(self.rows).isin(points.USUAL), "key"])
        ordered = sorted(self.names, key=lambda key: (key not in self.cached, key not in usual))
        return ordered[:1]

    def short(self, key: str) -> str:
        """Return the name of a variant without its chain."""
        return self.names[key].rpartition(naming.JOINT)[0]

    def along(self, key: str) -> dict[str, str]:
        """Return the cached variants of the series of a variant: their keys by amount, in ascending order."""
        series = self.rows.loc[self.rows["key"] == key, "series_label"].iloc[0]
        mine = self.rows[(self.rows["series_label"] == series) & self.rows["key"].isin(self.cached)]
        mine = mine.assign(first=mine["key"] != key).sort_values("first", kind="stable")  # of several seeds its own
        at = points.removals(mine).drop_duplicates()
        keys = dict(zip(at, mine.loc[at.index, "key"], strict=True))
        return {amount: keys[amount] for amount in points.amounts(mine)}


def candidates(subject: Subject) -> Candidates:
    """Return the compressed variants of a model, without imported ones."""
    rows = subject.rows[(subject.rows["method"] != IMPORTED) & ~points.is_dense(subject.rows)].drop_duplicates("key")
    cached = frozenset(key for key in rows["key"] if cached_variant(key).is_dir())
    there = set(rows["key"])
    shipped = [key for key in dict.fromkeys(key for key, _ in shipped_answers()) if key in there]
    ordered = dict.fromkeys((*shipped, *sorted(rows["key"], key=lambda key: key not in cached)))
    return Candidates({key: subject.names[key] for key in ordered}, shipped, cached, rows)


def pick_prompt() -> str:
    """Show the prepared prompts and the field of the prompt, and return it."""
    check_link(PREPARED, "prompt", PROMPTS)
    prepared = st.pills("Prepared prompts", list(PROMPTS), default=FIRST, key=PREPARED, on_change=_prepare, **BOUND)
    st.session_state.setdefault(TEXT, PROMPTS.get(prepared or FIRST, ""))
    prompt: str = st.text_area(
        "Prompt",
        key=TEXT,
        max_chars=MOST_PROMPT,
        height=100,
        on_change=st.session_state.update,
        args=({PREPARED: None},),  # the text is another
        help="It stays in this session: links and logs contain only the name of a prepared prompt.",
        **KEPT,
    )
    return prompt.strip()


def _prepare() -> None:
    if chosen := st.session_state[PREPARED]:
        st.session_state[TEXT] = PROMPTS[chosen]


def pick_compared(found: Candidates) -> list[str]:
    """Show the field of the variants and the sliders of their amounts, and return the chosen keys."""
    check_named(VARIANTS, "variant", found.names)
    chosen = multiselect(
        "Variants to compare with dense",
        list(found.names),
        default=found.first,
        format_func=found.names.__getitem__,
        max_selections=MOST_COMPARED,
        key=VARIANTS,
        help=f"At most {MOST_COMPARED}; those with bundled answers and those in the cache come first. A job creates "
        "any other.",
        **BOUND,
    )
    ready = [key for key in chosen if key in found.cached]
    along = {key: steps for key in ready if len(steps := found.along(key)) > 1}
    if along:
        with st.grid(len(along), min_column_width=FIELD):
            for key, steps in along.items():
                _slide(found, key, steps)
    return chosen


def _slide(found: Candidates, key: str, steps: dict[str, str]) -> None:
    """Show the slider that replaces a variant by another cached amount of its series."""
    slider = f"inside_answers_along_{key[:8]}"
    st.session_state[slider] = next(amount for amount, one in steps.items() if one == key)
    series = found.rows.loc[found.rows["key"] == key, "series_label"].iloc[0]
    st.select_slider(
        f"{series}: amounts in the cache", list(steps), key=slider, on_change=_replace, args=(slider, key, steps)
    )


def _replace(slider: str, key: str, steps: dict[str, str]) -> None:
    other = steps[st.session_state[slider]]
    chosen = [other if one == key else one for one in st.session_state[VARIANTS]]
    st.session_state[VARIANTS] = list(dict.fromkeys(chosen))
    st.session_state[AGAIN] = True


def pick_sampling() -> tuple[Sampling, bool]:
    """Show the settings of the answers; return the choice of tokens, and whether to use the chat template."""
    with st.expander("Settings"):
        with st.grid(4, min_column_width=FIELD):
            tokens = number("Most tokens", (1, MOST_TOKENS), SAMPLING.tokens, TOKENS, "number", BOUND)
            help = "At 0 each token is the likeliest one (greedy); above, tokens are drawn."
            temperature = number("Temperature", (0.0, 2.0), 0.0, TEMPERATURE, "number", BOUND, step=0.1, help=help)
            help = "Tokens are drawn among the likeliest ones that together have this probability."
            unused = not temperature
            top_p = number("Top p", (0.05, 1.0), 1.0, TOP_P, "number", BOUND, step=0.05, help=help, disabled=unused)
            help = "The same seed draws the same text."
            seed = number("Seed", (0, LARGEST_SEED), 0, SEED, "number", BOUND, help=help, disabled=unused)
        help = "The model reads the prompt as a message in a chat; a model without a template reads it as it is."
        chat = st.toggle("Chat template", True, key=CHAT, help=help, **BOUND)
    return Sampling(tokens=tokens, temperature=temperature, top_p=top_p, seed=seed), chat


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
    if answers.number < 0:
        return ":material/inventory_2: Bundled with Slimscope. Other prompts and settings need the models."
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
    bundled = _bundled(found, subject.dense, [key for key in chosen if key in results], prompt, sampling, chat)
    missing = [key for key in chosen if key not in found.cached and key in results]
    if missing and bundled is None:
        offer_jobs([variant_spec(results[key].variant) for key in missing], [found.short(key) for key in missing])
    # Not a callback, which would miss a prompt typed just before the click.
    unable = not prompt or bundled is not None
    wanted = st.button("Generate answers", type="primary", key="inside_answers_start", disabled=unable)
    conversation: Conversation | None = bundled or st.session_state.get(CONVERSATION)
    again = st.session_state.pop(AGAIN, False) and conversation is not None
    if (wanted or (again and prompt)) and bundled is None:
        ready = [key for key in chosen if key in found.cached and key in results]
        conversation = _ask(found, ready, prompt, sampling, chat)
    if conversation:
        show_answers_to(conversation)
    return []


def _bundled(
    found: Candidates, dense: str | None, keys: Sequence[str], prompt: str, sampling: Sampling, chat: bool
) -> Conversation | None:
    """Return the bundled answers of the dense model and of variants; None if one has none, or to other settings."""
    stored = shipped_answers()
    every = [stored.get((str(key), prompt)) for key in (dense, *keys)]
    if not chat or sampling != SAMPLING or not keys or None in every:
        return None
    question = _question(found, keys, prompt, sampling, chat)
    number = -int(sha256("".join((prompt, *keys)))[:8], 16)  # below 0, unlike those of questions to models
    answers = Answers(number, question)
    answers.state = "done"
    for answer, one in zip(answers.answers, filter(None, every), strict=True):
        answer.state, answer.tokens = "done", [*one.tokens]
    return Conversation(answers, [found.short(key) for key in keys])


def _question(found: Candidates, keys: Sequence[str], prompt: str, sampling: Sampling, chat: bool) -> Question:
    """Return the question to the dense model and to variants; raise `UserError` if it is invalid."""
    every = [*keys, next(iter(found.names))]
    stored = data.results(every)
    one, *variants = [variant_spec(stored[key].variant) for key in (every[0], *keys)]
    dense = one.model_copy(update={"stages": (build_stage("dense"),)})
    return Question(prompt=prompt, variants=(dense, *variants), chat=chat, sampling=sampling)


def _ask(found: Candidates, keys: Sequence[str], prompt: str, sampling: Sampling, chat: bool) -> Conversation | None:
    """Put the question to the dense model and the variants, in place of the session's last question."""
    before: Conversation | None = st.session_state.pop(CONVERSATION, None)
    if before:
        answerer().stop(before.answers)
    try:
        question = _question(found, keys, prompt, sampling, chat)
        conversation = Conversation(answerer().ask(question), [found.short(key) for key in keys])
    except UserError as error:
        st.error(literal(str(error)))
        return None
    st.session_state[CONVERSATION] = conversation
    return conversation
