"""The form fields of calibration and training data."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from core.data.texts import CORPORA, called
from core.methods.fields import AUTO
from core.models.shape import ModelShape
from core.request.complete import identified_calibration
from core.request.stages import DEFAULT_EXAMPLE, DEFAULT_EXAMPLES, DEFAULT_WINDOW, DEFAULT_WINDOWS
from core.specs import TextWindows
from dashboard import data
from dashboard.shared import local
from dashboard.shared.binding import HELD
from dashboard.shared.form_errors import FormErrors


class Purpose(NamedTuple):
    """The use of a text, with the labels and defaults of its fields; `key` begins their keys."""

    key: str
    label: str
    unit: str
    windows: int
    window: int
    help: str


CALIBRATION = Purpose(
    "run_calibration",
    "Calibrate on",
    "Sequences",
    DEFAULT_WINDOWS,
    DEFAULT_WINDOW,
    "Text for the statistics of the methods; you can type the path of a text file.",
)
TRAINING = Purpose(
    "run_train",
    "Train on",
    "Examples",
    DEFAULT_EXAMPLES,
    DEFAULT_EXAMPLE,
    "Text or instructions for fine-tuning; you can type the path of a text, JSON or JSONL file.",
)
LONGEST = "run_longest"  # session key of the model's context length in tokens


def window_input(label: str, key: str, usual: int, help: str = "") -> int:
    """Show the field of a length in tokens; empty is the usual length, or the model's longest if that is shorter."""
    auto = usual_window(usual)
    value = st.number_input(
        label,
        2,
        131072,
        None,
        key=key,
        placeholder=f"{AUTO} ({auto})",
        help=f"Empty is {usual}, or the model's longest{help}.",
        **HELD,
    )
    return auto if value is None else value


def usual_window(usual: int) -> int:
    """Return the usual length in tokens, limited to the model's context length."""
    return min(usual, int(st.session_state.get(LONGEST, usual)))


def text_input(purpose: Purpose, shape: ModelShape | None, mistakes: FormErrors) -> TextWindows:
    """Show the fields of a corpus and its amount, and errors for the model's `shape` if it is known."""
    names = [corpus.id for corpus in CORPORA if not corpus.held_out]
    key = f"{purpose.key}_corpus"
    with st.container(horizontal=True):
        st.selectbox(
            purpose.label,
            names,
            index=names.index(data.corpora_here()[1]),
            format_func=called,
            key=key,
            accept_new_options=True,
            help=purpose.help,
            on_change=local.allow_typed,
            args=(key,),
            **HELD,
        )
        st.number_input(purpose.unit, 1, 1_000_000, purpose.windows, key=f"{purpose.key}_windows", **HELD)
        window_input("Tokens per sequence", f"{purpose.key}_window", purpose.window)
    wanted = selected_text(purpose)
    if local.held_back(purpose.key, [local.named_text(wanted.corpus)]):
        mistakes.waits = True
    elif shape:
        with mistakes.catch():
            identified_calibration(wanted, shape)
    return wanted


def selected_text(purpose: Purpose) -> TextWindows:
    """Return the text of the form, even before its fields are shown."""
    state = st.session_state
    return TextWindows(
        corpus=state.get(f"{purpose.key}_corpus", data.corpora_here()[1]) or "",
        windows=state.get(f"{purpose.key}_windows", purpose.windows),
        window=state.get(f"{purpose.key}_window") or usual_window(purpose.window),
    )
