"""Run page: compress a model by a chain of stages and measure it, or run a grid of chains."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.base.errors import UserError
from core.request.complete import check_device, complete
from core.request.execution import SHARE, parse_memory
from core.request.resolve import MOST_SEED
from core.request.settings import RunSettings
from core.request.sweeps import Grid, count, expand_grid
from core.specs import DTYPES
from dashboard.run.chain_form import Chain, chain_input, present_chain
from dashboard.run.fields import measuring_inputs, model_input
from dashboard.run.grid_form import GRID, MODE, MOST_RUNS, ONE, Series, prefill, seeds_input, series_input, several
from dashboard.run.imports import show_imports
from dashboard.run.joblist import show_current, show_queue, watch_for_jobs
from dashboard.run.start import RunRequest, show_start
from dashboard.run.sweep import show_sweep
from dashboard.shared import job_form
from dashboard.shared.binding import HELD, number, segments, select

MOST_THREADS = 1024  # more than any machine has cores
CARD, SIDE = "run_start_card", "run_side"  # keys, which Streamlit turns into CSS classes
# Streamlit has no sticky elements. In a wide window the side column stays while the form scrolls. In a narrow window,
# where columns are stacked, the card stays at the bottom.
CSS = """
<style>
@media (min-width: 641px) {{
  [data-testid="stLayoutWrapper"]:has(> .st-key-{side}) {{ position: sticky; top: 4rem; }}
  .st-key-{side} {{ max-height: calc(100vh - 5rem); overflow-y: auto; scrollbar-width: thin; }}
}}
@media (max-width: 640px) {{
  .st-key-{card} {{
    position: fixed; left: 0; right: 0; bottom: 0; z-index: 100; max-height: 50vh; overflow-y: auto;
    background: light-dark({light}, {dark}); border-radius: 0; box-shadow: 0 -2px 8px rgba(0, 0, 0, 0.25);
  }}
  [data-testid="stMainBlockContainer"] {{ padding-bottom: 20rem; }}
}}
</style>
"""


def group(title: str) -> DeltaGenerator:
    """Return a titled section of the form."""
    box = st.container(border=True)
    box.header(title, anchor=False)
    return box


def form() -> RunRequest:
    """Show the form and return its runs; none if a field is wrong or waits for a permission."""
    mistakes = job_form.FormErrors()
    with group("Model and compression"):
        model = model_input(mistakes)
        mode = segments("Runs", (ONE, GRID), MODE, "form", bound=HELD, on_change=_switched)
        chains = series_input(present_chain(), mistakes) if mode == GRID else chain_input()
    if isinstance(chains, Chain) and not chains.readable:
        mistakes.found = True  # the field shows the error
    with group("Data"):
        purposes = (("calibration", job_form.CALIBRATION, "calibration"), ("training", job_form.TRAINING, "train"))
        read = {
            name: job_form.text_input(purpose, model.shape, mistakes)
            for reads, purpose, name in purposes
            if reads in chains.reads
        }
        seeds = _seeds(chains, mistakes)
        if not (read or chains.uses_seed):
            st.caption("This chain needs no data and no seed.")
    with group("Measurements"):
        measured = measuring_inputs(model.shape, mistakes)
    advanced = _advanced(mistakes)
    if mistakes.found:
        return RunRequest(grid=mode == GRID)
    if mistakes.waits:
        return RunRequest(where="Confirm in the form that Slimscope may read the linked files.", grid=mode == GRID)
    common = {**read, **measured, **advanced, "name": model.given, "partial": model.partial}
    if isinstance(chains, Series):
        return _grid(model.name, seeds, RunSettings.model_validate(common), chains)
    return _one(model.name, RunSettings.model_validate({**common, "seed": seeds[0]}), chains)


def _switched() -> None:
    if st.session_state[MODE] == GRID:
        prefill(present_chain())


def _seeds(chains: Chain | Series, mistakes: job_form.FormErrors) -> tuple[int, ...]:
    if not chains.uses_seed:
        return (0,)
    if isinstance(chains, Series):
        return seeds_input(mistakes)
    help = "Fixes the sampling of data and the randomness of training."
    return (number("Seed", (0, MOST_SEED), 0, "run_seed", "seed", help=help),)


def _advanced(mistakes: job_form.FormErrors) -> dict[str, str | int | None]:
    """Show the fields that rarely change, unfolded if one is wrong."""
    memory: int | None = None
    wrong = False
    try:
        check_device(st.session_state.get("run_device", "cpu") or "")
        _memory()
    except UserError:
        wrong = True
    with st.expander("Advanced: precision, device, memory, threads", expanded=wrong):
        dtype = select("Precision", DTYPES, "run_dtype", "precision", bound=HELD)
        device = st.selectbox("Device", ("cpu", "cuda", "mps"), key="run_device", accept_new_options=True, **HELD)
        with mistakes.catch():
            check_device(device or "")
        auto = f"{SHARE:.0%} of the free memory"
        help = "Memory that the run may take, such as 6GB. A larger model streams from disk, block by block."
        st.text_input("Memory", key="run_memory", placeholder=auto, help=help, **HELD)
        with mistakes.catch():
            memory = _memory()
        help = "Processor threads that the run computes with. A cluster reserves as many cores for it."
        most, auto = (1, MOST_THREADS), "one for each core, or a share of them"
        threads = number("Threads", most, None, "run_threads", "number of threads", placeholder=auto, help=help)
    return {"dtype": dtype, "device": device, "memory": memory, "threads": threads}


def _memory() -> int | None:
    """Return the memory budget in the field in bytes; None if it is empty, and a `UserError` if it is invalid."""
    text = st.session_state.get("run_memory")
    return parse_memory(text, "Memory") if text else None


def _one(model: str, settings: RunSettings, chain: Chain) -> RunRequest:
    try:
        return RunRequest([complete(model, chain.text, settings)])
    except UserError as error:
        blamed = chain.blame(error)
        if blamed is None:
            return RunRequest(problem=str(error))
        return RunRequest(where=f"Correct stage {blamed + 1} of the chain; its card shows the error.")


def _grid(model: str, seeds: tuple[int, ...], settings: RunSettings, series: Series) -> RunRequest:
    grid = Grid(models=(model,), chains=series.chains, amounts=series.amounts, seeds=seeds)
    runs = count(grid)
    if runs > MOST_RUNS:
        problem = f"The grid has {runs:,} runs; the maximum is {MOST_RUNS}. Remove chains, amounts or seeds."
        return RunRequest(problem=problem, grid=True)
    try:
        specs, _ = expand_grid(grid, settings)
    except UserError as error:
        series.box.error(str(error))
        return RunRequest(where="Correct the chains; their field shows the error.", grid=True)
    return RunRequest(specs, several(series.chains), grid=True)


def page() -> None:
    """Show the page."""
    st.title("Run", anchor=False)
    st.markdown("Compress a model and measure its quality, size and speed.")
    light, dark = (st.get_option(f"theme.{theme}.backgroundColor") for theme in ("light", "dark"))
    st.html(CSS.format(side=SIDE, card=CARD, light=light, dark=dark))
    left, right = st.columns([3, 2], gap="large")
    with left:
        wanted = form()
    with right.container(key=SIDE):
        with st.container(border=True, key=CARD, gap="small"):  # stays visible in a narrow window, too
            show_start(wanted)
            show_current()
        show_sweep()
        show_queue()
        watch_for_jobs()
    show_imports()


page()
