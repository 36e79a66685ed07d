"""The fields of the model to compress, from the catalogue, a folder or the hub, and of its measurements."""

from typing import Literal, NamedTuple

import pandas as pd
import streamlit as st

from core.base.errors import UserError
from core.data.cards import SEVEN, TASKS
from core.data.texts import CORPORA, called
from core.findings.numbers.fewshot import WORDS
from core.models import terms
from core.models.catalogue import BY_ID, ModelCard, Terms
from core.models.facts import load_shape
from core.models.kinds.folder import named_folder
from core.models.shape import MOST_UNCOVERED, ModelShape
from core.models.source import ModelSource
from core.models.sources import identify
from core.request.complete import identified_task, identified_text
from core.request.inspection import applicability, facts_of, first_chains, inspect_model, sweep_rows
from core.request.settings import RunSettings
from core.request.stages import DEFAULT_LIMIT, DEFAULT_WINDOW, DEFAULT_WINDOWS
from core.request.sweeps import Grid, expand_grid
from core.specs import DTYPES, MAX_FEWSHOT, PRECISIONS, Dtype, Fewshot, Perplexity, Task
from dashboard import data
from dashboard.run.grid_form import fill
from dashboard.shared import job_form
from dashboard.shared.binding import HELD, check_link, multiselect, number, select
from dashboard.shared.literal import literal

KEY = "run_model"
AS_COMPUTED = "as computed"
MOST_COUNTED = 100_000  # windows, or documents of each task
TEXTS = "run_perplexity"
PROMPT_FIELDS = {  # the fields of few-shot prompts, with their tooltips
    "selector": "The dense model selects the examples once for all its variants; similarity is of its hidden states.",
    "order": "The last example precedes the question.",
    "template": "Plain is the format of lm-evaluation-harness; all variants get the same instruction and reasoning.",
}


class Model(NamedTuple):
    """The chosen model."""

    name: str
    shape: ModelShape | None  # None for an invalid model, one that waits for permission, or no language model
    given: str | None = None  # the user's name of a folder
    partial: bool = False  # whether a model with many weights outside of linears may be compressed


def model_input(mistakes: job_form.FormErrors) -> Model:
    """Show the field that accepts a model of the catalogue, a folder or a hub id."""
    name = job_form.model_box(KEY)
    st.session_state.pop(job_form.LONGEST, None)
    if card := BY_ID.get(name):
        gated = " Gated: accept its licence on the hub first." if card.gated else ""
        st.caption(
            f"{card.label}: {card.parameters / 1e6:,.0f} M parameters. Licence: {card.licence}.{gated} {card.note}"
        )
        _terms_input(card, mistakes)
    if job_form.held_back(KEY, [named_folder(name)]):
        mistakes.waits = True
        return Model(name, None)
    given = None
    if folder := named_folder(name):
        help = "Identifies the model in results and later runs; empty is the folder's name."
        given = st.text_input("Name", key="run_name", placeholder=folder.name, help=help, **HELD) or None
    with mistakes.catch():
        if not name:
            raise UserError("No model is chosen; choose one, or type a folder or a hub id.")
        source = identify(name, given)
        shape = load_shape(source)
        st.session_state[job_form.LONGEST] = shape.max_window
        if name not in BY_ID:
            describe_model(source)
        return Model(name, shape, given=given, partial=consent(shape))
    return Model(name, None)


def describe_model(source: ModelSource) -> None:
    """Show a switch, and with it what was found in a model, and a first sweep that a button fills into the grid."""
    help = "Builds the model without its weights, which takes some seconds the first time."
    if not st.toggle("Show what is in the model", key="run_found", help=help, **HELD):
        return
    found = inspect_model(source)
    facts = [f"- **{label}**: {literal(words)}" for label, words in facts_of(source, found).items()]
    st.markdown("\n".join(facts))
    refused: dict[str, list[str]] = {}  # methods by reason
    for one in applicability(found):
        if one.refusal is not None:
            refused.setdefault(one.refusal, []).append(f"`{one.method}`")
    st.markdown("All methods run on this model except these:")
    st.markdown("\n".join(f"- {', '.join(methods)}: {literal(reason)}" for reason, methods in refused.items()))
    chains, dtype = first_chains(found), st.session_state.get("run_dtype", DTYPES[0])
    grid = Grid(models=(str(source.folder or source.id),), chains=tuple(chains))
    specs, _ = expand_grid(grid, RunSettings(dtype=dtype, partial=True))
    st.markdown("A first sweep, with the dense baseline in each time:")
    st.table(pd.DataFrame(sweep_rows(specs, ("dense", *chains), data.store())).set_index("chain"))
    st.button("Fill the grid with this sweep", on_click=fill, args=(chains,))


def consent(shape: ModelShape) -> bool:
    """Return whether the user agrees to compress a model with many weights outside of linears; ask only then."""
    if shape.uncovered_share <= MOST_UNCOVERED:
        return False
    words = f"Compress the linears, although {shape.uncovered_share:.0%} of the block weights are in none"
    return st.checkbox(f"{words} and stay dense", key="run_partial", **HELD)


def _terms_input(card: ModelCard, mistakes: job_form.FormErrors) -> None:
    """Show the terms of a model that this machine lacks, and the buttons that answer them."""
    wanted, file = card.terms, card.packed
    if wanted is None or file is None or identify(card.id).folder:
        return
    size, agreed = f"{file.size / 1e6:.0f} MB", terms.answer(card.id)
    if agreed:
        st.caption(f"You accepted the {wanted.name}; the first run downloads the model ({size}).")
        return
    mistakes.found = True
    if agreed is False:
        st.info(
            f"You rejected the {wanted.name}, so this machine cannot run the model. Explore shows its stored results. "
            f"`slimscope fetch {card.id} --accept-terms` accepts the terms."
        )
        return
    st.info(
        f"This model is not on this machine. To download it ({size}), accept the {wanted.name}. Explore shows its "
        "stored results in any case."
    )
    if st.button("Read the terms", key="terms_read", icon=":material/gavel:"):
        st.dialog(wanted.name, width="large")(_ask)(card, wanted)


def _ask(card: ModelCard, wanted: Terms) -> None:
    try:
        with st.spinner("Fetching the terms ..."):
            text = terms.terms_text(wanted)
    except UserError as error:
        st.error(str(error))
        return
    st.caption(f"These terms apply to {card.label}; their source is {wanted.url}.")
    with st.container(height=400):
        st.markdown(text)
    with st.container(horizontal=True):
        _answer(card, "Accept the terms", True)
        _answer(card, "Reject the terms", False)


def _answer(card: ModelCard, label: str, agreed: bool) -> None:
    kind: Literal["primary", "secondary"] = "primary" if agreed else "secondary"
    if st.button(label, key=f"terms_{agreed}", type=kind, on_click=terms.remember, args=(card.id, agreed)):
        st.rerun()  # closes the dialog


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
    corpora = multiselect(
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
    names = multiselect(
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
