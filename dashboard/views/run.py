"""Run: make a compressed model by a chain of stages and measure it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.data.cards import SEVEN, TASKS
from core.data.texts import CORPORA
from core.errors import UserError
from core.models.catalogue import BY_ID, MODELS
from core.models.sources import named_folder
from core.request.asked import MOST_SEED
from core.request.baseline import left
from core.request.complete import complete
from core.request.estimate import estimate_left, kept_stages
from core.request.stages import DEFAULT_LIMIT, DEFAULT_MODEL, DEFAULT_WINDOW, DEFAULT_WINDOWS
from core.specs import DTYPES, PRECISIONS, Perplexity, RunSpec, Task
from core.words import duration
from dashboard import data
from dashboard.panels import texts
from dashboard.panels.binding import BOUND, KEPT
from dashboard.panels.card import Part
from dashboard.panels.chain_form import chain_input
from dashboard.panels.imports import show_imports
from dashboard.panels.joblist import explore_link, show_jobs

AS_COMPUTED = "as computed"
FOLDERS = "run_folders"  # those that the visitor lets be read, in the session


def model_input() -> str | None:
    """Let a model of the catalogue be chosen, or a folder or hub id be typed; None while a folder may not be read."""
    model = st.selectbox(
        "Model",
        [card.id for card in MODELS],
        index=list(BY_ID).index(DEFAULT_MODEL),
        key="run_model",
        accept_new_options=True,
        help="Choose one, or type the path of a folder with a Hugging Face model, or a hub id such as org/name.",
        on_change=allow_folder,
        **BOUND,
    )
    card = BY_ID.get(model)
    if card:
        gated = " Gated: accept its licence on the hub first." if card.gated else ""
        st.caption(
            f"{card.label}: {card.parameters / 1e6:,.0f} M parameters. Licence: {card.licence}.{gated} {card.note}"
        )
    folder = named_folder(model or "")
    if folder and str(folder) not in st.session_state.get(FOLDERS, ()):
        st.info("The link names a folder of this machine. Nothing of it is read before you press the button.")
        st.text(str(folder))
        st.button("Read this folder", key="run_read", on_click=allow_folder)
        return None
    return model or ""


def allow_folder() -> None:
    """Note that the visitor wants the folder that is the model now to be read: it was typed, or the button pressed."""
    if folder := named_folder(st.session_state["run_model"] or ""):
        st.session_state.setdefault(FOLDERS, set()).add(str(folder))


def text_inputs(parts: Sequence[Part]) -> dict[str, Any]:
    """Ask for the texts that stages without one of their own read."""
    wanted = {part.reads for part in parts if not part.own_text}
    asked = (("calibration", texts.CALIBRATION, "calibration"), ("training", texts.TRAINING, "train"))
    return {name: texts.text_input(purpose) for reads, purpose, name in asked if reads in wanted}


def measuring_inputs() -> dict[str, Any]:
    """Ask what to measure."""
    names = [corpus.id for corpus in CORPORA if not corpus.calibration_only]
    corpora = st.multiselect(
        "Perplexity on",
        names,
        default=[data.corpora_here()[0]],
        key="run_perplexity",
        accept_new_options=True,
        **KEPT,
        help="How well the model predicts a text; the path of a text file may be typed.",
    )
    with st.container(horizontal=True):
        window = st.number_input(
            "Tokens a window",
            2,
            131072,
            DEFAULT_WINDOW,
            key="run_window",
            **KEPT,
            help="2048 as in SparseGPT's paper, 128 as in SlimLLM's; numbers of different windows cannot be compared.",
        )
        windows = st.number_input(
            "First windows", 0, 100_000, DEFAULT_WINDOWS, key="run_windows", help="0 reads the whole text.", **KEPT
        )
    tasks = st.multiselect(
        "Zero-shot tasks",
        list(TASKS),
        format_func=lambda name: TASKS[name].label,
        key="run_tasks",
        **KEPT,
        placeholder="None",
        help=f"The papers' seven: {', '.join(TASKS[name].label for name in SEVEN)}.",
    )
    limit, scoring = 0, AS_COMPUTED
    if tasks:
        with st.container(horizontal=True):
            limit = st.number_input(
                "First documents of each task", 0, 100_000, DEFAULT_LIMIT, key="run_limit", help="0 reads all.", **KEPT
            )
            scoring = st.selectbox(
                "Scored in",
                (AS_COMPUTED, *PRECISIONS),
                key="run_scoring",
                help="16 bits are quicker where the machine has them, and never share an axis with fp32.",
                **KEPT,
            )
    latency = st.toggle(
        "Latency", key="run_latency", help="Time a token, reading and writing, on this machine.", **KEPT
    )
    return {
        "perplexity": [Perplexity(corpus=name, window=window, windows=windows or None) for name in corpora],
        "tasks": [Task(task=name, limit=limit or None) for name in tasks],
        "scoring": PRECISIONS.get(scoring),
        "latency": latency,
    }


def more_inputs(parts: Sequence[Part]) -> dict[str, Any]:
    """Ask for what rarely changes."""
    drawn = any(part.reads != "nothing" and not part.own_seed for part in parts)
    with st.expander("More: seed, precision, device" if drawn else "More: precision, device"):
        seed = 0
        if drawn:
            told = "Draws the text, and what training draws."
            seed = st.number_input("Seed", 0, MOST_SEED, 0, key="run_seed", help=told, **KEPT)
        dtype = st.selectbox("Precision", DTYPES, key="run_dtype", **KEPT)
        device = st.selectbox("Device", ("cpu", "cuda", "mps"), key="run_device", accept_new_options=True, **KEPT)
    return {"seed": seed, "dtype": dtype, "device": device}


def form() -> RunSpec | str | None:
    """Show the form; return the run it asks for, or the sentence that says what is wrong; None while it waits."""
    model = model_input()
    chain = chain_input()
    read = text_inputs(chain.parts)
    measuring = measuring_inputs()
    more = more_inputs(chain.parts)
    if model is None:
        return None
    if not model:
        return "Choose a model, or type a folder or a hub id."
    if not chain.readable:
        st.caption("The chain that is typed at the top cannot be read.")
        return None
    if not (measuring["perplexity"] or measuring["tasks"] or measuring["latency"]):
        return "Choose at least one thing to measure: a text, a task or the latency."
    try:
        return complete(model, chain.text, **read, **measuring, **more)
    except UserError as error:
        blamed = chain.blame(error)
        if blamed is None:
            return str(error)
        st.caption(f"Stage {blamed + 1} of the chain does not fit, as its card says.")
        return None


def page() -> None:
    st.title("Run", anchor=False)
    st.markdown("Compress a model on this machine and measure what is left of it.")
    asked, queued = st.columns([3, 2], gap="large")
    with asked:
        wanted = form()
        if isinstance(wanted, str):
            st.error(wanted)
        disabled = not isinstance(wanted, RunSpec) or not _something_left(wanted)
        # Not a callback: that would get the run of before a value that was typed just ahead of the click.
        pressed = st.button("Start", type="primary", icon=":material/play_arrow:", disabled=disabled, key="run_start")
        if pressed and isinstance(wanted, RunSpec):
            data.queue().submit(wanted)
            st.toast("Queued.")
    with queued:
        show_jobs()
    show_imports()


def _something_left(spec: RunSpec) -> bool:
    """Say what the run takes, or where its numbers are; return whether anything is left to run."""
    store = data.store()
    parts = left(spec, store)
    if not parts:
        st.info("All of this is measured already. Choose something else to run, or see it on Explore.")
        explore_link(spec)
        return False
    expected = estimate_left([spec], store)
    said = f"Takes {duration(expected.seconds)} and {expected.bytes / 1e9:.1f} GB of memory"
    if parts[-1].variant != spec.variant:
        said += ", with the dense model measured in the same way, to compare with"
    if data.result(spec.variant.key):
        said += ". This model is known already: only what was not measured yet is measured"
    if kept := kept_stages(spec.variant):
        said += f". It goes on from an earlier run, which made {kept} of its {len(spec.variant.stages)} stages"
    st.info(f"{said}.")
    return True


page()
