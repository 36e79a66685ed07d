"""Which text the stages of a chain read, and how much of it."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from core.data.texts import CORPORA
from core.request.stages import DEFAULT_EXAMPLE, DEFAULT_EXAMPLES, DEFAULT_WINDOW, DEFAULT_WINDOWS
from core.specs import Calibration
from dashboard import data
from dashboard.panels.binding import KEPT


class Purpose(NamedTuple):
    """What a text is read for, as the form asks for it; `key` begins the keys of its fields."""

    key: str
    label: str
    unit: str
    windows: int
    window: int
    help: str


CALIBRATION = Purpose(
    "run_calibration",
    "Calibrate on",
    "Windows",
    DEFAULT_WINDOWS,
    DEFAULT_WINDOW,
    "The text that shows which weights matter. The path of a text file may be typed.",
)
TRAINING = Purpose(
    "run_train",
    "Train on",
    "Examples",
    DEFAULT_EXAMPLES,
    DEFAULT_EXAMPLE,
    "A text, or instructions; the path of a text, JSON or JSONL file may be typed.",
)


def text_input(purpose: Purpose) -> Calibration:
    """Ask for a corpus and how much of it."""
    names = [corpus.id for corpus in CORPORA if not corpus.held_out]
    with st.container(horizontal=True):
        st.selectbox(
            purpose.label,
            names,
            index=names.index(data.corpora_here()[1]),
            key=f"{purpose.key}_corpus",
            accept_new_options=True,
            **KEPT,
            help=purpose.help,
        )
        st.number_input(purpose.unit, 1, 1_000_000, purpose.windows, key=f"{purpose.key}_windows", **KEPT)
        st.number_input("Tokens each", 2, 131072, purpose.window, key=f"{purpose.key}_window", **KEPT)
    return given(purpose)


def given(purpose: Purpose) -> Calibration:
    """Return the text that the form asks for, also where its fields are not shown yet."""
    state = st.session_state
    return Calibration(
        corpus=state.get(f"{purpose.key}_corpus", data.corpora_here()[1]),
        windows=state.get(f"{purpose.key}_windows", purpose.windows),
        window=state.get(f"{purpose.key}_window", purpose.window),
    )
