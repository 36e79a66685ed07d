"""The fields of a question: its prompt, the variants that can answer, and how tokens are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.answers.question import MOST_COMPARED, MOST_PROMPT, MOST_TOKENS
from core.base.paths import cached_variant
from core.evaluation.generation.sampling import Sampling
from core.findings.rows import naming, points
from core.specs import IMPORTED
from dashboard.inside.selection import Subject
from dashboard.shared.binding import BOUND, KEPT, check_link, check_named, number
from dashboard.shared.links import ANSWERS_PROMPT, ANSWERS_VARIANTS

PROMPTS = {  # by the name that is in links
    "A fact": "What is the capital of France?",
    "A sum": "Ann has 17 apples and buys 25 more. How many apples does she have now?",
    "A story": "Write the beginning of a story about a lighthouse keeper who finds a letter in a bottle.",
    "Code": "Write a Python function that returns the largest number in a list.",
    "A summary": (
        "Summarise this text in one sentence: Bees collect nectar from flowers and turn it into honey. On their way "
        "they carry pollen from flower to flower. Many fruits and vegetables grow only after such a visit."
    ),
    "A translation": "Translate this sentence into French: The book is on the table.",
}
FIRST = "A fact"
PREPARED, VARIANTS = ANSWERS_PROMPT, ANSWERS_VARIANTS  # keys and parameters of the address
TEXT = "inside_answers_text"  # key of the prompt, which is in no address
AGAIN = "inside_answers_again"  # session key: whether a moved slider generates the answers again
TOKENS, TEMPERATURE, TOP_P, SEED, CHAT = (
    f"inside_answers_{name}" for name in ("tokens", "temperature", "top_p", "seed", "chat")
)
LARGEST_SEED = 2**31 - 1
NARROWEST = 150  # px of a field


class Candidates(NamedTuple):
    """The compressed variants of a model that this program can load or create."""

    names: Mapping[str, str]  # by key, those in the cache first
    cached: frozenset[str]  # keys
    rows: pd.DataFrame  # one per variant

    @property
    def first(self) -> list[str]:
        """The variant that the page chooses first: cached and at the usual amount, as far as there is one."""
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
    ordered = sorted(rows["key"], key=lambda key: key not in cached)
    return Candidates({key: subject.names[key] for key in ordered}, cached, rows)


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
    chosen = st.multiselect(
        "Variants to compare with dense",
        list(found.names),
        default=found.first,
        format_func=found.names.__getitem__,
        max_selections=MOST_COMPARED,
        key=VARIANTS,
        help=f"At most {MOST_COMPARED}; those in the cache come first, and a job creates any other.",
        **BOUND,
    )
    ready = [key for key in chosen if key in found.cached]
    along = {key: steps for key in ready if len(steps := found.along(key)) > 1}
    if along:
        with st.grid(len(along), min_column_width=NARROWEST):
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
        with st.grid(4, min_column_width=NARROWEST):
            tokens = number("Most tokens", (1, MOST_TOKENS), 48, TOKENS, "number", BOUND)
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
