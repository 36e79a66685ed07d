"""What the form asks for, what it takes, and the button that queues it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from core.errors import UserError
from core.formatting import format_duration, variant_name
from core.request.baseline import keys_of, remaining_run
from core.request.estimate import Estimate, cached_stages, estimate_left
from core.specs import RunSpec
from dashboard import data
from dashboard.panels.joblist import explore_link
from dashboard.panels.literal import literal

MESSAGE = "run_told"  # what was queued, to be told once the page has been written anew


class RunRequest(NamedTuple):
    specs: Sequence[RunSpec] = ()  # in the order in which they are to run
    name: str = ""  # of all of them
    problem: str | None = None  # why there are none, where no field says it
    where: str = "Something in the form does not fit, as its field says."  # where else it is said why there are none
    grid: bool = False


def show_start(wanted: RunRequest) -> None:
    """Say what the runs take, or where their numbers are, and show the button that queues those that are left."""
    if told := st.session_state.pop(MESSAGE, None):
        st.toast(told, icon=":material/playlist_add_check:")
    active = [job.spec for job in data.active_jobs() if not job.cancel]
    stored = data.results(keys_of(wanted.specs))
    unmeasured = [spec for spec in wanted.specs if remaining_run(spec, stored)]
    new = [spec for spec in unmeasured if spec not in active]
    with st.container(horizontal=True, vertical_alignment="center", wrap=False):
        # Not a callback: that would get the runs of before a value that was typed just ahead of the click.
        pressed = st.button("Start", type="primary", icon=":material/play_arrow:", disabled=not new, key="run_start")
        if wanted.specs:
            st.markdown(_headline(wanted, unmeasured, new), width="stretch")
    if wanted.problem:
        st.error(wanted.problem)
    elif not wanted.specs:
        st.caption(wanted.where)
    for sentence in _more(wanted, unmeasured, new):
        st.caption(sentence)
    if wanted.specs and not unmeasured:
        explore_link(wanted.specs[-1])
    if pressed and new:
        data.queue().submit_all(new)
        st.session_state[MESSAGE] = f"Queued {literal(_name(wanted, new))}."
        st.rerun()


def _name(wanted: RunRequest, new: Sequence[RunSpec]) -> str:
    if wanted.grid:
        return f"{len(new)} runs of {wanted.name}"
    variant = new[0].variant
    return variant_name(variant, data.called(variant))


def _headline(wanted: RunRequest, unmeasured: Sequence[RunSpec], new: Sequence[RunSpec]) -> str:
    """Return the time and memory of what is left to start; what there is instead where nothing is."""
    if not unmeasured:
        return "All of this is measured already."
    if not new:
        return "All that is left of it is in the queue." if wanted.grid else "It is in the queue."
    expected = _estimate(new)
    if expected is None:
        return "How long it takes cannot be told."
    return f"Takes **{format_duration(expected.seconds)}** and {expected.bytes / 1e9:.1f} GB of memory"


def _estimate(specs: Sequence[RunSpec]) -> Estimate | None:
    try:
        return estimate_left(specs, data.store())
    except UserError:
        return None


def _more(wanted: RunRequest, unmeasured: Sequence[RunSpec], new: Sequence[RunSpec]) -> list[str]:
    """Return what else is to be known before the start."""
    if wanted.grid and wanted.specs:
        counts = {
            "measured already": len(wanted.specs) - len(unmeasured),
            "in the queue": len(unmeasured) - len(new),
            "left to start": len(new),
        }
        told = "; ".join(f"{number} {where}" for where, number in counts.items() if number)
        return [f"{len(wanted.specs)} runs, the dense model's among them: {told}."]
    if not new:
        return []
    (spec,), said = new, []
    parts = remaining_run(spec, data.results(keys_of(new)))
    if parts[-1].variant != spec.variant:
        said.append("The dense model is measured in the same way, to compare with.")
    if data.result(spec.variant.key):
        said.append("This model is known already: only what was not measured yet is measured.")
    if kept := cached_stages(spec.variant):
        said.append(f"It goes on from an earlier run, which made {kept} of its {len(spec.variant.stages)} stages.")
    return [" ".join(said)] if said else []
