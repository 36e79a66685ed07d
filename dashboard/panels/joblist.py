"""The jobs of this machine: progress while they run, their reason when they fail, their point when they are done.

The job that runs, or else the one that ended last, stands by itself; the others wait, or are folded away, below it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st
from sqlalchemy import URL
from streamlit.delta_generator import DeltaGenerator

from core.achieved import describe_gap
from core.countdown import Countdown, left_words, queue_left
from core.errors import UserError
from core.formatting import variant_name
from core.jobs.here import lacking_here
from core.jobs.queue import Job, UnreadableJob
from core.jobs.supervisor import FETCH_SECONDS
from core.models.facts import load_shape
from core.models.sources import identify_again
from core.request.estimate import estimate_left
from core.shipping.formats import type_words, usual_words
from core.shipping.saving import saved_words
from core.specs import ModelId, RunSpec
from dashboard import data
from dashboard.charts import naming
from dashboard.panels.binding import ALONE
from dashboard.panels.literal import literal

SHOWN = 12  # of those that wait, and of those that ended
ENDED = "run_ended"  # the key of what folds them
STATES = {  # icon and word; that a job runs its bar tells
    "running": (":material/autorenew:", ""),
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
    "scan": "Compressing one part at a time",
    "compress": "Compressing",
    "answers": "Asking the teacher",
    "train": "Training",
    "perplexity": "Measuring perplexity",
    "requests": "Preparing the tasks",
    "prompts": "Writing the few-shot prompts",
    "tasks": "Scoring the tasks",
    "latency": "Measuring latency",
    "keep": "Keeping the model for later runs",
    "save": "Saving the model",
    "prove": "Having it read as others read it",
}


@st.cache_resource(max_entries=32, show_spinner=False)
def _countdown(url: URL, job_id: int, attempt: int, _spec: RunSpec) -> Countdown:
    """Return the countdown of a running job, one for all who look at it."""
    try:
        return Countdown(estimate_left([_spec], data.store()).stages)
    except UserError:  # its model or its text is gone, as the job will say
        return Countdown()


def time_left(job: Job, now: float) -> float | None:
    """Return the seconds that the present stage still takes; None where that cannot be told."""
    countdown = _countdown(data.store().url, job.id, job.attempts, job.spec)
    countdown.update(job.stage, job.done, job.total, now, job.stage_started if job.stage else job.started)
    return countdown.seconds_left(now)


def all_left(active: Sequence[Job], now: float) -> float | None:
    """Return the seconds that all that runs and waits still takes; None where nothing does, or it cannot be told."""
    running = [job for job in active if job.state == "running"]
    whole, own = _expected(active), _expected(running)
    if not whole:
        return None
    since = min((job.started or now for job in running), default=now)
    stage = sum(time_left(job, now) or 0.0 for job in running)
    return queue_left(own, now - since, stage, max(0.0, whole - own))


def _expected(jobs: Sequence[Job]) -> float:
    """Return the seconds that jobs were first expected to take, as long as no other joins or leaves them."""
    ordered = sorted(jobs, key=lambda job: job.id)
    return _seconds(data.store().url, tuple(job.id for job in ordered), [job.spec for job in ordered])


@st.cache_data(max_entries=32, show_spinner=False)
def _seconds(url: URL, ids: tuple[int, ...], _specs: Sequence[RunSpec]) -> float:
    models = {(spec.variant.model, spec.variant.revision) for spec in _specs}
    here = {model for model in models if _is_here(*model)}
    specs = [spec for spec in _specs if (spec.variant.model, spec.variant.revision) in here]
    try:
        return estimate_left(specs, data.store()).seconds
    except UserError:  # a text or a method is gone, as the job will say
        return 0.0


def _is_here(model: str, revision: str) -> bool:
    try:
        load_shape(identify_again(model, revision))
    except UserError:
        return False
    return True


def explore_link(spec: RunSpec) -> None:
    """Show the way to a run's point on Explore."""
    st.page_link(
        "views/explore.py",
        label="See it on Explore",
        icon=":material/show_chart:",
        query_params={ALONE: "true", **naming.link(data.frame(data.called(spec.variant)), spec)},
    )


def _ids() -> list[int]:
    return [job.id for job in data.active_jobs()]


def _models(jobs: Sequence[Job]) -> list[ModelId]:
    """Return the models of jobs, which may have no numbers yet."""
    return [job.spec.variant.model_id for job in jobs]


def show_current() -> None:
    """Show the job that runs, or else the one that ended last; while any is active it renews itself every second."""
    active = sorted(_ids())

    @st.fragment(run_every=1 if active else None)
    def renewed() -> None:
        job, beside = _current(), _models(data.active_jobs())
        with _anew("run_shown_job", job and (job.id, job.state, job.cancel)):
            if job is None:
                st.caption("Nothing runs. A job goes on when this page is closed.")
            else:
                with st.container(key=f"run_job_{job.id}", gap="small"):
                    _show(job, beside)
        if sorted(_ids()) != active:
            data.show_now()
            st.rerun()  # the whole page: it says anew what is left to run, and whether this renews itself

    renewed()


def _anew(key: str, shown: object) -> DeltaGenerator:
    """Return a place that is emptied at once where something else is `shown` in it than before.

    Streamlit leaves what a script no longer writes, such as a button to cancel, until the script has ended. There are
    two places, and with each change the other one is taken and that of before is emptied.
    """
    before, second = st.session_state.get(key, (shown, False))
    second ^= before != shown
    st.session_state[key] = shown, second
    places = [st.empty if taken != second else st.container for taken in (False, True)]
    return [place() for place in places][second]


def _current() -> Job | None:
    running = [job for job in data.active_jobs() if job.state == "running"]
    return next(iter(running or data.queue().ended(1)), None)


def show_queue() -> None:
    """Show the jobs that wait, in their order, and those that ended, folded; renewed as the running one is."""
    active = bool(data.active_jobs())

    @st.fragment(run_every=1 if active else None)
    def renewed() -> None:
        jobs = data.active_jobs()
        waiting = [job for job in jobs if job.state == "queued"]
        with st.container(horizontal=True, vertical_alignment="center"):
            st.header("Queue", anchor=False)
            if jobs:
                st.button("Cancel all", key="run_cancel_all", icon=":material/cancel:", on_click=_cancel_all)
        if problem := data.queue().problem:
            st.error(literal(problem))
        counts = f"{len(waiting)} {'waits' if len(waiting) == 1 else 'wait'}" if waiting else "Nothing waits"
        told = [counts, left_words(all_left(jobs, jobs[0].read) if jobs else None)]
        st.caption(" · ".join(part for part in told if part))
        with _anew("run_shown_waiting", [job.id for job in waiting]), st.container(gap=None):
            for place, job in enumerate(waiting[:SHOWN]):
                _show_waiting(job, place, len(waiting), _models(jobs))
        if len(waiting) > SHOWN:
            st.caption(f"{len(waiting) - SHOWN} more wait behind these.")
        for lost in data.queue().unreadable(SHOWN):
            with st.container(border=True, key=f"run_job_{lost.id}"):
                _show_unreadable(lost)
        _show_ended(_models(jobs))

    renewed()


def _show_waiting(job: Job, place: int, waiting: int, beside: Sequence[ModelId]) -> None:
    with _row(key=f"run_waits_{job.id}", gap="xsmall"):
        st.markdown(f"{place + 1}. {_name(job, beside)}", width="stretch")
        _icon("Move up", "arrow_upward", job, place == 0, _move, (job.id, False))
        _icon("Move down", "arrow_downward", job, place == waiting - 1, _move, (job.id, True))
        _icon("Cancel", "close", job, False, _act, (data.queue().cancel, job.id))
    if job.host not in (None, socket.gethostname()) and (reason := _lacking(job.spec.model_dump_json())):
        st.caption(literal(f"Waits for machine {job.host}: {reason}."))
    _show_saved(job)


@st.cache_data(max_entries=1000, ttl=FETCH_SECONDS, show_spinner=False)
def _lacking(spec: str) -> str | None:
    return lacking_here(RunSpec.model_validate_json(spec))


def _show_saved(job: Job) -> None:
    """Say where a job saves its model, or has saved it, where it does."""
    if job.spec.save:
        told = type_words(job.spec)
        planned = f"To be saved to {job.spec.save} as {told}"
        done = job.state == "done"
        st.caption(literal(saved_words(job.spec.save, told, usual_words(job.spec)) if done else planned))


def _icon(label: str, icon: str, job: Job, disabled: bool, act: Callable, args: tuple) -> None:
    key = f"run_waits_{label}_{job.id}"  # unlike that of the same job once it runs
    st.button(
        "", key=key, icon=f":material/{icon}:", type="tertiary", help=label, disabled=disabled, on_click=act, args=args
    )


def _show_ended(beside: Sequence[ModelId]) -> None:
    """Show those that ended last, but for the one that stands by itself."""
    current = _current()
    ended = [job for job in data.queue().ended(SHOWN + 1) if current is None or job.id != current.id][:SHOWN]
    if not ended:
        return
    failed = sum(job.state == "failed" for job in ended)
    label = "Ended before" + (f", {failed} of them failed" if failed else "")
    folded = st.expander(label, key=ENDED, on_change="rerun")
    if folded.open:  # as each has its log
        with folded:
            for job in ended:
                with st.container(border=True, key=f"run_job_{job.id}", gap="small"):
                    _show(job, beside)


def _name(job: Job, beside: Sequence[ModelId]) -> str:
    """Return what a job makes, its model called as among those `beside` it."""
    return literal(variant_name(job.spec.variant, data.called(job.spec.variant, *beside)))


def _show(job: Job, beside: Sequence[ModelId]) -> None:
    icon, state = STATES[job.state]
    if job.active and job.cancel:
        state = "stops"
    name = f"{icon} **{_name(job, beside)}**"
    with _row():
        st.markdown(f"{name} · {state}" if state else name, width="stretch")
        if job.active:
            _actions(job)
    if job.state == "running":
        share = job.done / job.total if job.total else 0.0
        doing = STAGES.get(job.stage, job.stage.capitalize() or "Starting")
        parts = [doing, "" if job.stage == "waiting" else job.detail, left_words(time_left(job, job.read))]
        st.progress(min(share, 1.0), " · ".join(part for part in parts if part))
    if job.state != "failed":
        _show_saved(job)
    if job.state == "failed":
        st.error(job.error or "No reason was recorded; see the log.")
    if job.state == "done" and (made := data.result(job.spec.variant.key)) and (told := describe_gap(made)):
        st.caption(told)
    if not job.active:
        with st.container(horizontal=True, vertical_alignment="center"):
            _actions(job)


def _row(**more: Any) -> DeltaGenerator:
    """Return a row whose text gives way to its buttons."""
    return st.container(horizontal=True, vertical_alignment="center", wrap=False, **more)


def _show_unreadable(job: UnreadableJob) -> None:
    st.text(job.reason)
    if job.active:
        _button("Cancel", job, data.queue().cancel)
    else:
        _button("Forget", job, data.queue().delete)


def _actions(job: Job) -> None:
    queue = data.queue()
    if job.state == "done":
        explore_link(job.spec)
    if job.active and not job.cancel:
        _button("Cancel", job, queue.cancel)
    if job.state == "cancelled" and _cut_short(job):
        _button("Measure what was trained", job, queue.retry)
        _button("Go on training", job, queue.resume)
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


def _button(label: str, job: Job | UnreadableJob, action: Callable[[int], object]) -> None:
    st.button(label, key=f"run_{label}_{job.id}", on_click=_act, args=(action, job.id))


def _act(action: Callable[[int], object], job_id: int) -> None:
    try:
        action(job_id)
    except UserError as error:
        st.toast(str(error))


def _move(job_id: int, later: bool) -> None:
    _act(lambda moved: data.queue().move(moved, later), job_id)


def _cancel_all() -> None:
    told = data.queue().cancel_all()
    st.toast(f"Cancelled {told} {'job' if told == 1 else 'jobs'}.")
