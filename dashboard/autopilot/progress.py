"""A search on the page: its chart, what runs, the time left, and its certificate."""

from functools import partial
from shlex import quote

import pandas as pd
import streamlit as st

from core.base.errors import UserError, counted
from core.notation.formatting import format_duration, format_number
from core.search.certificate import NOTE, Certificate
from core.search.question import Question
from core.search.record import SearchState, states, stop
from core.search.trials import Chosen, times_dense
from dashboard import data
from dashboard.charts.search import WORST, search_chart
from dashboard.exports.files import export_name, model_part
from dashboard.shared import links, widgets
from dashboard.shared.literal import literal

DEVIATIONS = 1.96  # of a 95 % interval
EARLIER = 10  # searches in the list
CAPTION = (
    "Chains of the search, on the windows that each was measured on. Eliminated chains lost against the best one on "
    f"few windows. A chain above {WORST:g} times dense is drawn at {WORST:g}. The dotted line is what stored results "
    "let expect of the best chain by size."
)


def show_searches() -> None:
    """Show the chosen search, and refresh it every two seconds while one runs."""
    store = data.store()
    alive = any(state.alive for state in states(store))

    @st.fragment(run_every=2 if alive else None)
    def renewed() -> None:
        known = states(store)
        if not known:
            st.caption("No search has run yet. A search continues after you close this page.")
            return
        names = {state.name: state.question.title for state in known[:EARLIER]}
        chosen = st.selectbox("Search", list(names), format_func=names.__getitem__, key="autopilot_shown")
        _show(next(state for state in known if state.name == (chosen or known[0].name)))
        if any(state.alive for state in known) != alive:
            data.show_now()
            st.rerun()

    renewed()


def _show(state: SearchState) -> None:
    tried = _table(state)
    whole = tried[~tried["eliminated"]]
    best = None if whole.empty else str(whole.sort_values("times_dense")["chain"].iloc[0])
    if state.certificate is not None and state.certificate.rows:
        best = state.certificate.rows[0].chain
    if state.opening:
        st.caption(literal(state.opening))
    if state.problem:
        st.error(literal(state.problem))
    _show_now(state, tried, best)
    if state.certificate is not None:
        _show_certificate(state.question, state.certificate)
    if tried.empty:
        return
    front = pd.DataFrame(
        [(mb, times_dense(loss)) for mb, loss in state.front], columns=["megabytes", "times_dense"], dtype=float
    )
    file = export_name(model_part(state.question.model), f"below-{state.question.max_mb:g}-mb", "autopilot")
    title = state.question.size_title
    names = {"chain": "Chain", "megabytes": title, **NAMES}
    widgets.show_chart(
        "autopilot_chart",
        partial(search_chart, tried, front, state.question.max_mb, best, title),
        CAPTION,
        tried,
        file=file,
        alt="Perplexity over dense by size of each chain that the search measured",
    )
    widgets.show_table(
        "autopilot_table",
        tried.sort_values(["eliminated", "times_dense"]).rename(columns=names)[list(names.values())],
        CAPTION,
        {title: "%.4g", "Times dense": "%.4g"},
        file=f"{file}-table",
        captioned=False,
    )


NAMES = {
    "times_dense": "Times dense",
    "windows": "Windows",
    "outcome": "Outcome",
}


def _table(state: SearchState) -> pd.DataFrame:
    """Return a row for each measured chain."""
    rows = [(one.chain, one.bytes / 1e6, times_dense(one.loss), one.windows, one.eliminated) for one in state.tried]
    table = pd.DataFrame(rows, columns=["chain", "megabytes", "times_dense", "windows", "eliminated"])
    table = table.astype({"eliminated": bool, "megabytes": float, "times_dense": float})
    return table.assign(outcome=table["eliminated"].map({True: "eliminated early", False: "measured in full"}))


def _show_now(state: SearchState, tried: pd.DataFrame, best: str | None) -> None:
    """Show what runs and the best chain so far, or how the search ended."""
    count = f"{counted(len(tried), 'chain')} tried"
    if best is not None and state.certificate is None:
        row = tried[tried["chain"] == best].iloc[0]
        size, times = (format_number(row[name]) for name in ("megabytes", "times_dense"))
        st.markdown(f"Best so far: `{best}`, {size} MB, {times} times dense.")
    if not state.alive:
        if state.certificate is None and not state.problem:
            st.info(f"This search was interrupted. {count}. Start it again to continue.")
        return
    st.progress(min(1.0, state.seconds / max(1.0, state.ends)))
    left, judgement = map(format_duration, (state.seconds_left, state.judgement_seconds))
    st.caption(
        f"{count}. Judging the best chains." if state.judging else f"{count}, {left} left, then {judgement} to judge."
    )
    for chain, chosen in state.running:
        st.markdown(f"Running: `{chain}`. {_expected(chosen)}")
    if state.running:
        st.caption("The first chain is a quick one that may be the best. Each later one promises most for its time.")
    st.button(
        "Stop and take the best",
        icon=":material/stop_circle:",
        disabled=state.stopping or state.cancelling,
        on_click=_stop,
        args=(state.name,),
        key="autopilot_stop",
    )
    if state.cancelling:
        st.caption("The search is being cancelled. Its numbers remain.")
    elif state.stopping:
        st.caption("The search stops at the next report of the run, then judges the best chains.")


def _expected(chosen: Chosen) -> str:
    """Return what a chain was chosen for, with a 95 % interval."""
    middle, low, high = (
        format_number(times_dense(chosen.loss + step * chosen.spread)) for step in (0.0, -DEVIATIONS, DEVIATIONS)
    )
    return f"Expected: {middle} times dense ({low} to {high}), in {format_duration(chosen.seconds)}."


def _stop(name: str) -> None:
    try:
        stop(data.store(), name)
    except UserError as error:
        st.toast(str(error), icon=":material/error:")


def _show_certificate(question: Question, found: Certificate) -> None:
    """Show the winner, its rivals on the text of the judgement, and how to make it again.

    Without a winner, show the stored variants that fit.
    """
    file = export_name(model_part(question.model), f"below-{question.max_mb:g}-mb", "certificate")
    formats = {found.size_title: "%.4g", "Perplexity": "%.4g", "Times dense": "%.4g", "Above chance (points)": "%.1f"}
    if not found.fits:
        st.warning(literal(found.failure(question.budget)))
        if found.stored:
            table = pd.DataFrame([one.row(found.size_title) for one in found.stored])
            widgets.show_table("autopilot_stored", table, NOTE, formats, file=f"{file}-stored")
        return
    winner = found.rows[0]
    # As code, because Markdown takes `gptq@4.25bit` for an e-mail address.
    st.success(f"`{winner.chain}` takes {format_number(winner.megabytes)} MB{question.as_format}.")
    widgets.show_table("autopilot_certificate", pd.DataFrame(found.table()), found.note(), formats, file=file)
    st.code(f"slimscope run {quote(question.model)} {quote(winner.chain)} --save FOLDER", language="bash")
    result = data.result(winner.key)
    if result is not None:
        links.show_own(data.called(result.variant), [winner.key], "Show on Explore, to save and export")
