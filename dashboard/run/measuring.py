"""The form fields of the measurements and their protocols."""

from __future__ import annotations

import streamlit as st

from core.data.cards import SEVEN, TASKS
from core.data.texts import CORPORA, called
from core.findings.numbers.fewshot import WORDS
from core.models.shape import ModelShape
from core.request.complete import identified_task, identified_text
from core.request.stages import DEFAULT_LIMIT, DEFAULT_WINDOW, DEFAULT_WINDOWS
from core.specs import MAX_FEWSHOT, PRECISIONS, Dtype, Fewshot, Perplexity, Task
from dashboard import data
from dashboard.shared import job_form
from dashboard.shared.binding import HELD, check_link, number, select

AS_COMPUTED = "as computed"
MOST_COUNTED = 100_000  # windows, or documents of each task
TEXTS = "run_perplexity"
PROMPT_FIELDS = {  # the fields of few-shot prompts, with their tooltips
    "selector": "The dense model selects the examples once for all its variants; similarity is of its hidden states.",
    "order": "The last example precedes the question.",
    "template": "Plain is the format of lm-evaluation-harness; all variants get the same instruction and reasoning.",
}


def measuring_inputs(shape: ModelShape | None, mistakes: job_form.FormErrors) -> dict[str, object]:
    """Show the fields of the measurements, and errors for the model's `shape` if known; return `RunSettings` fields."""
    perplexity = _perplexity(shape, mistakes)
    help = "KL divergence and top-1 agreement with the dense model at each token of the texts above."
    fidelity = st.toggle("Fidelity to dense", key="run_fidelity", help=help, **HELD)
    tasks, scoring = _tasks(mistakes)
    help = "Prefill and decode time per token on this machine, with packed weights for quantised models."
    latency = st.toggle("Latency", key="run_latency", help=help, **HELD)
    if not (perplexity or tasks or latency):
        mistakes.add("No measurement is chosen; choose at least a text, a task or latency.")
    return {
        "perplexity": perplexity,
        "tasks": tasks,
        "scoring": scoring,
        "fidelity": fidelity and bool(perplexity),
        "latency": latency,
    }


def _perplexity(shape: ModelShape | None, mistakes: job_form.FormErrors) -> list[Perplexity]:
    corpora = st.multiselect(
        "Perplexity on",
        [corpus.id for corpus in CORPORA if not corpus.calibration_only],
        default=[data.corpora_here()[0]],
        format_func=called,
        key=TEXTS,
        accept_new_options=True,
        placeholder="None",
        help="Texts that the model predicts; you can type the path of a text file.",
        on_change=job_form.allow_typed,
        args=(TEXTS,),
        **HELD,
    )
    with st.container(horizontal=True):
        help = "; SparseGPT uses 2048 and SlimLLM 128, which cannot be compared"
        window = job_form.window_input("Tokens per window", "run_window", DEFAULT_WINDOW, help)
        counted, help = (0, MOST_COUNTED), "0 uses the whole dataset."
        windows = number("First windows", counted, DEFAULT_WINDOWS, "run_windows", "number of windows", help=help)
    help = "Takes windows at even distances instead of the first ones, which papers use; a separate protocol."
    spread = bool(st.checkbox("Spread over the text", key="run_spread", help=help, **HELD) and windows)
    wanted = [Perplexity(corpus=name, window=window, windows=windows or None, spread=spread) for name in corpora]
    if job_form.held_back(TEXTS, [job_form.named_text(name) for name in corpora]):
        mistakes.waits = True
    elif shape:
        with mistakes.catch():
            for one in wanted:
                identified_text(one, shape)
    return wanted


def _tasks(mistakes: job_form.FormErrors) -> tuple[list[Task], Dtype | None]:
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
        title, counted = "First documents of each task", (0, MOST_COUNTED)
        limit = number(title, counted, DEFAULT_LIMIT, "run_limit", "number of documents", help="0 uses all.")
        help = "16 bits are faster on hardware that supports them; charts separate them from fp32."
        precisions = (AS_COMPUTED, *PRECISIONS)
        scoring = select("Evaluation precision", precisions, "run_scoring", "precision", bound=HELD, help=help)
    shots = shots_input()
    wanted = [Task(task=name, limit=limit or None, fewshot=shots) for name in names]
    with mistakes.catch():
        for one in wanted:
            identified_task(one)
    return wanted, PRECISIONS.get(scoring)


def shots_input() -> Fewshot:
    """Show the fields of the number, selector, order and template of few-shot examples."""
    how = {}
    with st.container(horizontal=True):
        help = "Solved examples before each question, never from the scored documents; 0 is zero-shot."
        k = number("Few-shot examples", (0, MAX_FEWSHOT), 0, "run_shots", "number of examples", help=help)
        for name, help in PROMPT_FIELDS.items():
            if k or name == "template":
                words = WORDS[name]
                key, form = f"run_{name}", words.__getitem__
                how[name] = select(name.capitalize(), list(words), key, name, form, HELD, help=help)
    return Fewshot.model_validate({"k": k, **how})
