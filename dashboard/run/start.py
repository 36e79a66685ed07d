"""The card that estimates the runs of the form and queues them."""

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from core.base.errors import UserError
from core.notation.formatting import format_durations
from core.notation.short import name_with_model
from core.request.baseline import keys_of, remaining_run
from core.request.expected.estimate import USUALLY, Estimate, cached_stages, estimate_left, slowdown
from core.request.expected.size import size_sentence
from core.specs import RunSpec
from dashboard import data
from dashboard.run.joblist import current_jobs
from dashboard.shared import links
from dashboard.shared.literal import literal

MESSAGE = "run_told"  # session key of the message to show after the rerun


class RunRequest(NamedTuple):
    """The runs of the form, or the reason that there are none."""

    specs: Sequence[RunSpec] = ()  # in queue order
    name: str = ""  # of all of them
    problem: str | None = None  # an error that no field shows
    where: str = "Correct the marked fields."  # points to the field that shows the error
    grid: bool = False


def show_start(wanted: RunRequest) -> None:
    """Show the estimate of the runs, or the link to their results, and the button that queues the new ones."""
    if message := st.session_state.pop(MESSAGE, None):
        st.toast(message, icon=":material/playlist_add_check:")
    active = [job.spec for job in data.active_jobs() if not job.cancel]
    stored = data.results(keys_of(wanted.specs))
    unmeasured = [spec for spec in wanted.specs if remaining_run(spec, stored)]
    new = [spec for spec in unmeasured if spec not in active]
    try:
        expected = estimate_left(new, data.store()) if new else None
    except UserError:
        expected = None
    with st.container(horizontal=True, vertical_alignment="center", wrap=False):
        # Not a callback, which would miss a value typed just before the click.
        idle = not new or bool(expected and expected.refusal)
        pressed = st.button("Start", type="primary", icon=":material/play_arrow:", disabled=idle, key="run_start")
        if wanted.specs:
            st.markdown(_headline(wanted, unmeasured, new, expected), width="stretch")
    if wanted.problem:
        st.error(wanted.problem)
    elif not wanted.specs:
        st.caption(wanted.where)
    if expected and expected.refusal:
        st.error(expected.refusal)
    for sentence in _more(wanted, unmeasured, new, expected):
        st.caption(sentence)
    # A job that is done is shown below, with the same link.
    linked = [job.spec for job in current_jobs() if job.state == "done"]
    if wanted.specs and not unmeasured and wanted.specs[-1] not in linked:
        variant = wanted.specs[-1].variant
        links.show_own(data.called(variant), [variant.key])
    if pressed and not idle:
        try:
            data.queue().submit_all(new)
        except UserError as error:  # no machine of the cluster can run them
            st.error(literal(str(error)))
        else:
            first = new[0].variant
            name = f"{len(new)} runs of {wanted.name}" if wanted.grid else name_with_model(first, data.called(first))
            st.session_state[MESSAGE] = f"Queued {literal(name)}."
            st.rerun()


def _headline(
    wanted: RunRequest, unmeasured: Sequence[RunSpec], new: Sequence[RunSpec], expected: Estimate | None
) -> str:
    """Return the time and memory of the new runs, or the reason that there are none."""
    if not unmeasured:
        return "All results are stored already."
    if not new:
        return "All runs without results are in the queue." if wanted.grid else "This run is in the queue."
    if expected is None:
        return "No time estimate is available."
    factor = 1.0 if data.active_jobs() else slowdown()  # jobs run one after another, so they do not slow this one
    time = format_durations(expected.seconds, expected.seconds * factor)
    busy = ", because this machine is busy," if factor > 1 else ""
    return f"Takes **{time}**{busy} ({USUALLY}) and {expected.bytes / 1e9:.1f} GB of memory"


def _more(
    wanted: RunRequest, unmeasured: Sequence[RunSpec], new: Sequence[RunSpec], expected: Estimate | None
) -> list[str]:
    """Return further information on the runs."""
    if wanted.grid and wanted.specs:
        counts = {
            "already measured": len(wanted.specs) - len(unmeasured),
            "in the queue": len(unmeasured) - len(new),
            "to start": len(new),
        }
        states = "; ".join(f"{number} {state}" for state, number in counts.items() if number)
        return [f"{len(wanted.specs)} runs including the dense model: {states}."]
    if not new:
        return []
    (spec,), notes = new, []
    parts = remaining_run(spec, data.results(keys_of(new)))
    if parts[-1].variant != spec.variant:
        notes.append("The run also measures the dense model under the same protocol.")
    if data.result(spec.variant.key):
        notes.append("This variant has results: the run measures only the missing numbers.")
    if sentence := size_sentence(spec.variant):
        notes.append(sentence)
    if expected and expected.streaming:
        notes.append(expected.streaming)
    if cached := cached_stages(spec.variant):
        notes.append(f"The run starts from a cached variant with {cached} of {len(spec.variant.stages)} stages.")
    return [" ".join(notes)] if notes else []
