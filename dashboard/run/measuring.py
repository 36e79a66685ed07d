"""The form fields of the measurements and their protocols."""

from __future__ import annotations

from typing import TypedDict

import streamlit as st

from core.data.cards import SEVEN, TASKS
from core.data.texts import CORPORA, called
from core.models.shape import ModelShape
from core.request.complete import identified_perplexity, identified_task
from core.request.stages import DEFAULT_LIMIT, DEFAULT_WINDOW, DEFAULT_WINDOWS
from core.specs import PRECISIONS, Dtype, Perplexity, Task
from dashboard import data
from dashboard.run.fewshot_form import shots_input
from dashboard.shared import local
from dashboard.shared.binding import HELD, Between, check_link
from dashboard.shared.form_errors import FormErrors
from dashboard.shared.texts import window_input

AS_COMPUTED = "as computed"
MOST_COUNTED = 100_000  # windows, or documents of each task
TEXTS = "run_perplexity"


class Measured(TypedDict):
    """The chosen measurements, as arguments of `complete`."""

    perplexity: list[Perplexity]
    tasks: list[Task]
    scoring: Dtype | None
    fidelity: bool
    latency: bool


def measuring_inputs(shape: ModelShape | None, mistakes: FormErrors) -> Measured:
    """Show the fields of the measurements, and errors for the model's `shape` if it is known."""
    perplexity = _perplexity(shape, mistakes)
    fidelity = st.toggle(
        "Fidelity to dense",
        key="run_fidelity",
        help="KL divergence and top-1 agreement with the dense model at each token of the texts above.",
        **HELD,
    )
    tasks, scoring = _tasks(mistakes)
    latency = st.toggle(
        "Latency",
        key="run_latency",
        help="Prefill and decode time per token on this machine, with packed weights for quantised models.",
        **HELD,
    )
    if not (perplexity or tasks or latency):
        mistakes.add("No measurement is chosen; choose at least a text, a task or latency.")
    return {
        "perplexity": perplexity,
        "tasks": tasks,
        "scoring": scoring,
        "fidelity": fidelity and bool(perplexity),
        "latency": latency,
    }


def _perplexity(shape: ModelShape | None, mistakes: FormErrors) -> list[Perplexity]:
    corpora = st.multiselect(
        "Perplexity on",
        [corpus.id for corpus in CORPORA if not corpus.calibration_only],
        default=[data.corpora_here()[0]],
        format_func=called,
        key=TEXTS,
        accept_new_options=True,
        placeholder="None",
        help="Texts that the model predicts; you can type the path of a text file.",
        on_change=local.allow_typed,
        args=(TEXTS,),
        **HELD,
    )
    with st.container(horizontal=True):
        window = window_input(
            "Tokens per window",
            "run_window",
            DEFAULT_WINDOW,
            "; SparseGPT uses 2048 and SlimLLM 128, which cannot be compared",
        )
        check_link("run_windows", "number of windows", Between(0, MOST_COUNTED))
        help = "0 uses the whole dataset."
        windows = st.number_input(
            "First windows", 0, MOST_COUNTED, DEFAULT_WINDOWS, key="run_windows", help=help, **HELD
        )
    spread = st.checkbox(
        "Spread over the text",
        key="run_spread",
        help="Takes windows at even distances instead of the first ones, which papers use; a separate protocol.",
        **HELD,
    )
    spread = bool(spread and windows)
    wanted = [Perplexity(corpus=name, window=window, windows=windows or None, spread=spread) for name in corpora]
    if local.held_back(TEXTS, [local.named_text(name) for name in corpora]):
        mistakes.waits = True
    elif shape:
        with mistakes.catch():
            for one in wanted:
                identified_perplexity(one, shape)
    return wanted


def _tasks(mistakes: FormErrors) -> tuple[list[Task], Dtype | None]:
    check_link("run_tasks", "task", [card.label for card in TASKS.values()], lambda name: TASKS[name].label)
    names = st.multiselect(
        "Tasks",
        list(TASKS),
        format_func=lambda name: TASKS[name].label,
        key="run_tasks",
        placeholder="None",
        help=f"The papers' seven: {', '.join(TASKS[name].label for name in SEVEN)}.",
        **HELD,
    )
    if not names:
        return [], None
    with st.container(horizontal=True):
        check_link("run_limit", "number of documents", Between(0, MOST_COUNTED))
        check_link("run_scoring", "precision", (AS_COMPUTED, *PRECISIONS))
        limit = st.number_input(
            "First documents of each task", 0, MOST_COUNTED, DEFAULT_LIMIT, key="run_limit", help="0 uses all.", **HELD
        )
        scoring = st.selectbox(
            "Evaluation precision",
            (AS_COMPUTED, *PRECISIONS),
            key="run_scoring",
            help="16 bits are faster on hardware that supports them; charts separate them from fp32.",
            **HELD,
        )
    shots = shots_input()
    wanted = [Task(task=name, limit=limit or None, fewshot=shots) for name in names]
    with mistakes.catch():
        for one in wanted:
            identified_task(one)
    return wanted, PRECISIONS.get(scoring)
