"""The fields of a question: its prompt, the variants, and how tokens are chosen."""

from __future__ import annotations

import streamlit as st

from core.answers.question import MOST_COMPARED, MOST_PROMPT, MOST_TOKENS
from core.evaluation.generation.sampling import Sampling
from dashboard.inside.answers.cached import Candidates
from dashboard.inside.answers.prompts import FIRST, PROMPTS
from dashboard.shared.binding import BOUND, KEPT, Between, check_link, check_named
from dashboard.shared.links import ANSWERS_PROMPT, ANSWERS_VARIANTS

PREPARED, VARIANTS = ANSWERS_PROMPT, ANSWERS_VARIANTS  # keys and parameters of the address
TEXT = "inside_answers_text"  # key of the prompt, which is in no address
AGAIN = "inside_answers_again"  # session key: whether a moved slider generates the answers again
TOKENS, TEMPERATURE, TOP_P, SEED, CHAT = (
    f"inside_answers_{name}" for name in ("tokens", "temperature", "top_p", "seed", "chat")
)
LARGEST_SEED = 2**31 - 1
NARROWEST = 150  # px of a field


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
        on_change=_unprepare,
        help="It stays in this session: links and logs contain only the name of a prepared prompt.",
        **KEPT,
    )
    return prompt.strip()


def _prepare() -> None:
    if chosen := st.session_state[PREPARED]:
        st.session_state[TEXT] = PROMPTS[chosen]


def _unprepare() -> None:
    """Choose no prepared prompt, as the text is another."""
    st.session_state[PREPARED] = None


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
            tokens = _number("Most tokens", TOKENS, 1, MOST_TOKENS, 48)
            greedy = "At 0 each token is the likeliest one (greedy); above, tokens are drawn."
            temperature = _number("Temperature", TEMPERATURE, 0.0, 2.0, 0.0, 0.1, help=greedy)
            likeliest = "Tokens are drawn among the likeliest ones that together have this probability."
            unused = not temperature
            top_p = _number("Top p", TOP_P, 0.05, 1.0, 1.0, 0.05, unused, likeliest)
            seed = _number("Seed", SEED, 0, LARGEST_SEED, 0, None, unused, "The same seed draws the same text.")
        chat = st.toggle(
            "Chat template",
            True,
            key=CHAT,
            help="The model reads the prompt as a message in a chat; a model without a template reads it as it is.",
            **BOUND,
        )
    return Sampling(tokens=int(tokens), temperature=temperature, top_p=top_p, seed=int(seed)), chat


def _number(
    label: str,
    key: str,
    least: float,
    most: float,
    start: float,
    step: float | None = None,
    disabled: bool = False,
    help: str | None = None,
) -> float:
    """Show the field of a number."""
    check_link(key, "number", Between(least, most))
    return st.number_input(label, least, most, start, step, key=key, disabled=disabled, help=help, **BOUND)
