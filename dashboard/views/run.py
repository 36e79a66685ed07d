"""Run: make a compressed model by a chain of stages and measure it, or a grid of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import streamlit as st

from core.errors import UserError
from core.request.complete import check_device, complete
from core.request.resolve import MOST_SEED
from core.request.sweeps import Grid, count, expand_grid
from core.specs import DTYPES
from dashboard.panels import texts
from dashboard.panels.binding import HELD
from dashboard.panels.chain_form import Chain, chain_input, present_chain
from dashboard.panels.form_errors import FormErrors
from dashboard.panels.grid_form import MOST_RUNS, Series, prefill, seeds_input, series_input, several
from dashboard.panels.imports import show_imports
from dashboard.panels.joblist import show_current, show_queue
from dashboard.panels.layout import card, group, two_sides
from dashboard.panels.measuring import measuring_inputs
from dashboard.panels.model_field import model_input
from dashboard.panels.start import RunRequest, show_start

ONE, GRID = "One run", "Grid"
MODE = "run_mode"


class FormInput(NamedTuple):
    """What the form holds."""

    model: str
    what: Chain | Series
    seeds: tuple[int, ...]
    common: dict[str, Any]  # texts, measuring, precision, device, a folder's name: arguments of `complete` and `points`


def form() -> RunRequest:
    """Show the form; return the runs it asks for, none where something in it is wrong or waits."""
    mistakes = FormErrors()
    with group("What"):
        model = model_input(mistakes)
        mode = st.segmented_control(
            "Runs", [ONE, GRID], default=ONE, required=True, key=MODE, on_change=_switched, **HELD
        )
        what = series_input(present_chain(), mistakes) if mode == GRID else chain_input()
    if isinstance(what, Chain) and not what.readable:
        mistakes.found = True  # as its field says
    with group("On what"):
        purposes = (("calibration", texts.CALIBRATION, "calibration"), ("training", texts.TRAINING, "train"))
        read = {
            name: texts.text_input(purpose, model.shape, mistakes)
            for reads, purpose, name in purposes
            if reads in what.reads
        }
        seeds = _seeds(what, mistakes)
        if not (read or what.uses_seed):
            st.caption("Nothing of it reads a text or draws anything.")
    with group("Measured how"):
        measured = dict(measuring_inputs(model.shape, mistakes)) if model.reads_text else {}
    advanced = _advanced(mistakes)
    if mistakes.found:
        return RunRequest(grid=mode == GRID)
    if mistakes.waits:
        return RunRequest(where="The form waits for what the link names to be read.", grid=mode == GRID)
    asked = FormInput(model.name, what, seeds, {**read, **measured, **advanced, "name": model.given})
    return _grid(asked, what) if isinstance(what, Series) else _one(asked, what)


def _switched() -> None:
    if st.session_state[MODE] == GRID:
        prefill(present_chain())


def _seeds(what: Chain | Series, mistakes: FormErrors) -> tuple[int, ...]:
    if not what.uses_seed:
        return (0,)
    if isinstance(what, Series):
        return seeds_input(mistakes)
    told = "Draws the text, and what training draws."
    return (st.number_input("Seed", 0, MOST_SEED, 0, key="run_seed", help=told, **HELD),)


def _advanced(mistakes: FormErrors) -> dict[str, Any]:
    """Ask for what rarely changes; it is open while something in it is wrong."""
    try:
        check_device(st.session_state.get("run_device", "cpu") or "")
    except UserError:
        wrong = True
    else:
        wrong = False
    with st.expander("Advanced: precision, device", expanded=wrong):
        dtype = st.selectbox("Precision", DTYPES, key="run_dtype", **HELD)
        device = st.selectbox("Device", ("cpu", "cuda", "mps"), key="run_device", accept_new_options=True, **HELD)
        with mistakes.catch():
            check_device(device or "")
    return {"dtype": dtype, "device": device}


def _one(asked: FormInput, chain: Chain) -> RunRequest:
    try:
        return RunRequest([complete(asked.model, chain.text, seed=asked.seeds[0], **asked.common)])
    except UserError as error:
        blamed = chain.blame(error)
        if blamed is None:
            return RunRequest(problem=str(error))
        return RunRequest(where=f"Stage {blamed + 1} of the chain does not fit, as its card says.")


def _grid(asked: FormInput, series: Series) -> RunRequest:
    grid = Grid(
        models=(asked.model,),
        chains=series.chains,
        ratios=tuple(ratio for ratio, _ in series.amounts if ratio is not None),
        patterns=tuple(pattern for _, pattern in series.amounts if pattern),
        seeds=asked.seeds,
    )
    runs = count(grid)
    if runs > MOST_RUNS:
        problem = f"The grid has {runs:,} runs, and {MOST_RUNS} are the most: leave out chains, amounts or seeds."
        return RunRequest(problem=problem, grid=True)
    try:
        specs, _ = expand_grid(grid, **asked.common)
    except UserError as error:
        series.box.error(str(error))
        return RunRequest(where="A chain does not fit, as its field says.", grid=True)
    return RunRequest(specs, several(series.chains), grid=True)


def page() -> None:
    st.title("Run", anchor=False)
    st.markdown("Compress a model on this machine and measure what is left of it.")
    left, right = two_sides()
    with left:
        wanted = form()
    with right:
        with card():
            show_start(wanted)
            show_current()
        show_queue()
    show_imports()


page()
