"""Run: make a compressed model and measure it, from a form that the methods' declarations generate."""

from __future__ import annotations

from typing import Any, NamedTuple

import streamlit as st

from core.data.cards import SEVEN, TASKS
from core.data.texts import CORPORA
from core.errors import UserError
from core.methods.base import Method
from core.models.catalogue import BY_ID, MODELS
from core.models.sources import named_folder
from core.registry import METHODS, RECOVERIES
from core.request.baseline import left
from core.request.complete import complete
from core.request.estimate import estimate_left
from core.request.stages import (
    DEFAULT_EXAMPLE,
    DEFAULT_EXAMPLES,
    DEFAULT_MODEL,
    DEFAULT_RATIO,
    DEFAULT_WINDOW,
    DEFAULT_WINDOWS,
)
from core.specs import DTYPES, Calibration, Perplexity, RunSpec, Task
from core.words import duration
from dashboard import data
from dashboard.panels import forms
from dashboard.panels.binding import BOUND, KEPT
from dashboard.panels.joblist import explore_link, show_jobs

PATTERNS = ("2:4", "4:8")
NO_RECOVERY = "nothing"
FOLDERS = "run_folders"  # those that the visitor lets be read, in the session


class Purpose(NamedTuple):
    """What a text is read for, as the form asks for it."""

    label: str
    unit: str
    windows: int
    window: int
    help: str


CALIBRATION = Purpose(
    "Calibrate on",
    "Windows",
    DEFAULT_WINDOWS,
    DEFAULT_WINDOW,
    "The text that shows the method which weights matter. The path of a text file may be typed.",
)
TRAINING = Purpose(
    "Train on",
    "Examples",
    DEFAULT_EXAMPLES,
    DEFAULT_EXAMPLE,
    "A text, or instructions; the path of a text, JSON or JSONL file may be typed.",
)


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


def method_input() -> type[Method]:
    """Let a method be chosen and say what it does."""
    by_name = {method.name: method for method in METHODS}
    name = st.selectbox(
        "Method",
        list(by_name),
        index=list(by_name).index("sparsegpt"),
        format_func=lambda name: by_name[name].label,
        key="run_method",
        **BOUND,
    )
    method = by_name[name]
    family = "" if method.family == "dense" else f"{method.family.capitalize()}: "
    st.caption(f"{family}{method.summary}{cited(method)}")
    return method


def cited(method: type[Method]) -> str:
    """Return the source to follow a method's summary; empty where there is none."""
    source = method.citation
    return f" [{source.authors}, {source.year}]({source.url})." if source else ""


def amount_input(method: type[Method]) -> dict[str, Any]:
    """Ask how much to remove: a ratio, or a pattern where the method has them."""
    if not method.takes_amount:
        return {}
    kind = "ratio"
    if method.patterns:
        kind = st.segmented_control(
            "Remove",
            ["ratio", "pattern"],
            default="ratio",
            required=True,
            key="run_kind",
            **BOUND,
            format_func={"ratio": "a share of the weights", "pattern": "an N:M pattern"}.__getitem__,
        )
    if kind == "pattern":
        text = st.selectbox(
            "Pattern",
            PATTERNS,
            key="run_pattern",
            accept_new_options=True,
            **BOUND,
            help="N:M keeps N of every M consecutive weights; 2:4 is what GPUs speed up. Another may be typed.",
        )
        return {"pattern": text}
    ratio = st.number_input(
        "Share of block weights to remove",
        0.0,
        0.99,
        DEFAULT_RATIO,
        0.05,
        format="%.2f",
        key="run_ratio",
        **BOUND,
        help="0.5 removes half the weights of the linear layers inside the blocks; embeddings are left alone.",
    )
    return {"ratio": ratio}


def calibration_input(method: type[Method]) -> Calibration | None:
    """Ask what text the method reads, where it reads any."""
    reads = method().reads
    if reads == "nothing":
        return None
    if reads == "training":
        return text_input("run_train", TRAINING)
    return text_input("run_calibration", CALIBRATION)


def text_input(key: str, purpose: Purpose) -> Calibration:
    """Ask for a corpus and how much of it; `key` begins those of the fields."""
    names = [corpus.id for corpus in CORPORA if not corpus.held_out]
    with st.container(horizontal=True):
        corpus = st.selectbox(
            purpose.label,
            names,
            index=names.index(data.corpora_here()[1]),
            key=f"{key}_corpus",
            accept_new_options=True,
            **KEPT,
            help=purpose.help,
        )
        windows = st.number_input(purpose.unit, 1, 1_000_000, purpose.windows, key=f"{key}_windows", **KEPT)
        window = st.number_input("Tokens each", 2, 131072, purpose.window, key=f"{key}_window", **KEPT)
    return Calibration(corpus=corpus, windows=windows, window=window)


def recovery_input() -> dict[str, Any]:
    """Ask whether the model is trained afterwards, with what, and on which text."""
    by_name = {found.name: found for found in RECOVERIES}
    name = st.selectbox(
        "Then train",
        [NO_RECOVERY, *by_name],
        format_func=lambda name: by_name[name].label if name in by_name else name,
        key="run_recovery",
        **BOUND,
        help="A recovery wins back some of what was lost; it trains small adapters and merges them.",
    )
    if name == NO_RECOVERY:
        return {}
    found = by_name[name]
    st.caption(f"{found.summary}{cited(found)}")
    training = text_input("run_recovery", TRAINING)
    with st.expander("How it trains"):
        settings = forms.parameter_inputs(found)
    return {
        "recovery": name,
        "recovery_settings": settings,
        "training": training,
    }


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
    limit = 0
    if tasks:
        limit = st.number_input(
            "First documents of each task", 0, 100_000, 100, key="run_limit", help="0 reads all.", **KEPT
        )
    latency = st.toggle(
        "Latency", key="run_latency", help="Time a token, reading and writing, on this machine.", **KEPT
    )
    return {
        "perplexity": [Perplexity(corpus=name, window=window, windows=windows or None) for name in corpora],
        "tasks": [Task(task=name, limit=limit or None) for name in tasks],
        "latency": latency,
    }


def more_inputs(method: type[Method], trained: bool) -> dict[str, Any]:
    """Ask for what rarely changes."""
    with st.expander("More: parameters, layers, seed, precision, device"):
        settings = forms.parameter_inputs(method)
        layers = seed = None
        if method.by_layer:
            layers = st.text_input(
                "Layers",
                key="run_layers",
                placeholder="all",
                **KEPT,
                help="First:last block such as 0:19, or a regular expression on layer names such as mlp.",
            )
        if method().reads != "nothing" or trained:
            told = "Draws the text, and what training draws."
            seed = st.number_input("Seed", 0, 2**31, 0, key="run_seed", help=told, **KEPT)
        dtype = st.selectbox("Precision", DTYPES, key="run_dtype", **KEPT)
        device = st.selectbox("Device", ("cpu", "cuda", "mps"), key="run_device", accept_new_options=True, **KEPT)
    return {"settings": settings, "layers": layers or None, "seed": seed or 0, "dtype": dtype, "device": device}


def form() -> RunSpec | str | None:
    """Show the form; return the run it asks for, or the sentence that says what is wrong; None while it waits."""
    model = model_input()
    method = method_input()
    amount = amount_input(method)
    calibration = calibration_input(method)
    recovery = recovery_input()
    measuring = measuring_inputs()
    more = more_inputs(method, bool(recovery))
    if model is None:
        return None
    if not model:
        return "Choose a model, or type a folder or a hub id."
    if not (measuring["perplexity"] or measuring["tasks"] or measuring["latency"]):
        return "Choose at least one thing to measure: a text, a task or the latency."
    try:
        return complete(model, method.name, calibration=calibration, **amount, **recovery, **measuring, **more)
    except UserError as error:
        return str(error)


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
    st.info(f"{said}.")
    return True


page()
