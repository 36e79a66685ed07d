"""The jobs of this machine: progress while they run, their reason when they fail, their point when they are done."""

from __future__ import annotations

import re
import time

import streamlit as st

from core.countdown import Countdown
from core.errors import UserError
from core.jobs.queue import Job, UnreadableJob
from core.reached import missed
from core.request.estimate import estimate_left
from core.shipping.saving import saved_words
from core.specs import RunSpec, precision_name
from core.words import variant_name
from dashboard import data
from dashboard.charts import points

SHOWN = 12
STATES = {
    "queued": (":material/schedule:", "waits for its turn"),
    "running": (":material/autorenew:", "runs"),
    "done": (":material/check_circle:", "done"),
    "failed": (":material/error:", "failed"),
    "cancelled": (":material/cancel:", "cancelled"),
}
STAGES = {
    "waiting": "Waits for another run on this machine",
    "load": "Loading the model",
    "download": "Downloading",
    "convert": "Converting the model, once",
    "observe": "Reading the calibration text",
    "gradients": "Gathering gradients",
    "compress": "Compressing",
    "answers": "Asking the teacher",
    "train": "Training",
    "perplexity": "Measuring perplexity",
    "requests": "Preparing the tasks",
    "tasks": "Zero-shot tasks",
    "latency": "Measuring latency",
    "keep": "Keeping the model for later runs",
    "save": "Saving the checkpoint",
}


@st.cache_resource(max_entries=32, show_spinner=False)
def _countdown(job_id: int, attempt: int, _spec: RunSpec) -> Countdown:
    """Return the countdown of a running job, one for all who look at it."""
    try:
        return Countdown(estimate_left([_spec], data.store()).stages)
    except UserError:  # its model or its text is gone, as the job will say
        return Countdown()


def time_left(job: Job, now: float) -> str:
    """Write how long the present stage still takes; empty where that cannot be told."""
    countdown = _countdown(job.id, job.attempts, job.spec)
    countdown.see(job.stage, job.done, job.total, now, job.stage_started if job.stage else job.started)
    return countdown.words(now)


def explore_link(spec: RunSpec) -> None:
    """Show the way to a run's point on Explore."""
    st.page_link(
        "views/explore.py",
        label="See it on Explore",
        icon=":material/show_chart:",
        query_params=points.link(data.frame(spec.variant.model), spec),
    )


def show_jobs() -> None:
    """Show the newest jobs; while any is active the list renews itself every second."""
    st.subheader("Jobs", anchor=False)
    active = bool(data.active_jobs())

    @st.fragment(run_every=1 if active else None)
    def renewed() -> None:
        jobs, unreadable = data.queue().jobs(SHOWN), data.queue().unreadable(SHOWN)
        if not jobs and not unreadable:
            st.caption("No jobs yet. One runs at a time; it goes on when this page is closed.")
        for job in jobs:
            with st.container(border=True, key=f"run_job_{job.id}"):
                _show(job)
        for lost in unreadable:
            with st.container(border=True, key=f"run_job_{lost.id}"):
                _show_unreadable(lost)
        if active != bool(data.active_jobs()):
            st.rerun()  # the whole page: this list renews itself from now on, or no longer

    renewed()


def _show(job: Job) -> None:
    icon, state = STATES[job.state]
    if job.active and job.cancel:
        state = "stops"
    st.markdown(f"{icon} **{_literal(variant_name(job.spec.variant))}** · {state}")
    if job.state == "running":
        share = job.done / job.total if job.total else 0.0
        parts = [STAGES.get(job.stage, job.stage.capitalize() or "Starting"), job.detail, time_left(job, time.time())]
        st.progress(min(share, 1.0), " · ".join(part for part in parts if part))
    if job.spec.save and job.state != "failed":
        planned = f"To be saved to {job.spec.save} as {precision_name(job.spec.saved_dtype)}"
        st.caption(_literal(saved_words(job.spec.save, job.spec.saved_dtype) if job.state == "done" else planned))
    if job.state == "failed":
        st.error(job.error or "No reason was recorded; see the log.")
    if job.state == "done" and (made := data.result(job.spec.variant.key)) and (told := missed(made)):
        st.caption(told)
    with st.container(horizontal=True, vertical_alignment="center"):
        _actions(job)


def _show_unreadable(job: UnreadableJob) -> None:
    st.text(job.reason)
    if job.active:
        _button("Cancel", job, data.queue().cancel)
    else:
        _button("Forget", job, data.queue().delete)


def _literal(text: str) -> str:
    """Return Markdown that shows a text as it is, whatever signs a path in it has."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def _actions(job: Job) -> None:
    queue = data.queue()
    if job.state == "done":
        explore_link(job.spec)
    if job.active and not job.cancel:
        _button("Cancel", job, queue.cancel)
    if job.state == "cancelled" and _cut_short(job):
        _button("Measure what was trained", job, queue.retry)
        _button("Go on training", job, queue.go_on)
    elif job.state in ("failed", "cancelled"):
        _button("Try again", job, queue.retry)
    if not job.active:
        _button("Forget", job, queue.delete)
    if job.started:
        with st.popover("Log", key=f"run_log_{job.id}"):
            st.code(queue.log_tail(job.id, 40) or "The job wrote nothing yet.", language=None, wrap_lines=True)


def _cut_short(job: Job) -> bool:
    """Whether the job's cancelled training left its best weights so far as the variant."""
    kept = data.result(job.spec.variant.key)
    return kept is not None and kept.variant.cut_short


def _button(label: str, job: Job | UnreadableJob, action) -> None:
    st.button(label, key=f"run_{label}_{job.id}", on_click=_act, args=(action, job.id))


def _act(action, job_id: int) -> None:
    try:
        action(job_id)
    except UserError as error:
        st.toast(str(error))
