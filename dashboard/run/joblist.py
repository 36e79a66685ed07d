"""The jobs of this machine: progress of running jobs, errors of failed ones, links to the points of finished ones.

The running jobs, or else the one that ended last, have their own place. Below it are the queued jobs and, folded, the
ended ones.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.base.errors import UserError, counted
from core.findings.numbers.reporting import value_words
from core.findings.pairs.paired import number_name
from core.jobs.countdown import left_words
from core.jobs.here import lacking_here
from core.jobs.kinds import QUESTION, SEARCH
from core.jobs.logs import log_tail
from core.jobs.queue import Job
from core.jobs.supervisor import ACTIVE, ENDED, FETCH_SECONDS
from core.notation.removal import describe_gap
from core.notation.short import name_with_model
from core.request.baseline import baseline, numbers_of
from core.results import Result
from core.search.question import work_title
from core.shipping.formats import saved_words, type_words
from core.specs import ModelId, RunSpec
from dashboard import data
from dashboard.shared import links
from dashboard.shared.literal import literal
from dashboard.shared.widgets import icon_button

SHOWN = 12  # queued jobs, and ended jobs
IDLE_SECONDS = 5  # between two looks for jobs while none is active
FOLDED = "run_ended"  # key of the expander of ended jobs
PAGES = {SEARCH: ("Search", "autopilot/view.py"), QUESTION: ("Question", "inside/view.py")}  # of jobs that are no runs
STATES = {  # icon and word; a running job has a progress bar instead
    "running": (":material/autorenew:", ""),
    "done": (":material/check_circle:", "done"),
    "failed": (":material/error:", "failed"),
    "cancelled": (":material/cancel:", "cancelled"),
}


def _ids() -> list[int]:
    return [job.id for job in data.active_jobs()]


def _models(jobs: Sequence[Job]) -> list[ModelId]:
    """Return the models of jobs, which may have no results yet."""
    return [job.spec.variant.model_id for job in jobs]


def show_current() -> None:
    """Show the running jobs, or else the one that ended last; refresh every second while a job is active."""
    active = sorted(_ids())

    @st.fragment(run_every=1 if active else None)
    def renewed() -> None:
        shown, others = current_jobs(), _models(data.active_jobs())
        with _replaced("run_shown_jobs", [(job.id, job.state, job.cancel) for job in shown]):
            if not shown:
                st.caption("No run is in progress. Jobs continue after you close this page.")
            for job in shown:
                with st.container(key=f"run_job_{job.id}", gap="small"):
                    _show(job, others)
        if sorted(_ids()) != active:
            data.show_now()
            st.rerun()  # the whole page, whose estimate and refresh interval depend on the active jobs

    renewed()


def _replaced(key: str, shown: object) -> DeltaGenerator:
    """Return a container whose previous content disappears at once if `shown` differs from the last run.

    Streamlit removes outdated elements, such as a cancel button, only at the end of a script run. Two containers
    alternate instead: each change uses the other one and empties the previous one.
    """
    before, second = st.session_state.get(key, (shown, False))
    second ^= before != shown
    st.session_state[key] = shown, second
    places = [st.empty if place != second else st.container for place in (False, True)]
    shown_place: DeltaGenerator = [place() for place in places][second]
    return shown_place


def current_jobs() -> list[Job]:
    """Return the running jobs, or else the one that ended last."""
    return [job for job in data.active_jobs() if job.state == "running"] or data.queue().ended(1)


def show_queue() -> None:
    """Show the queued jobs in order and the ended jobs, folded; refresh every second while a job is active."""
    active = _is_active()

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
        others = data.queue().works([*PAGES], ACTIVE)
        for work in others:
            _show_other(work)
        st.caption(queue_words(jobs))
        with _replaced("run_shown_waiting", [job.id for job in waiting]), st.container(gap=None):
            for place, job in enumerate(waiting[:SHOWN]):
                _show_waiting(job, place, len(waiting), _models(jobs))
        if len(waiting) > SHOWN:
            st.caption(f"{len(waiting) - SHOWN} more jobs are queued.")
        for lost in data.queue().unreadable(SHOWN):
            with st.container(border=True, key=f"run_job_{lost.id}"):
                st.text(str(lost.reason))
                remove = ("Cancel", data.queue().cancel) if lost.active else ("Remove from list", data.queue().delete)
                _button(remove[0], lost, remove[1])
        _show_ended(_models(jobs))
        if bool(jobs or others) != active:
            st.rerun()

    renewed()


def watch_for_jobs() -> None:
    """While no job is active, show those that another dashboard or a command queues."""
    if _is_active():
        return

    @st.fragment(run_every=IDLE_SECONDS)
    def watched() -> None:
        if _is_active():
            data.show_now()
            st.rerun()

    watched()


def _is_active() -> bool:
    """Return whether a job of any kind is queued or runs."""
    return bool(data.active_jobs() or data.queue().works([*PAGES], ACTIVE))


def queue_words(jobs: Sequence[Job]) -> str:
    """Return the number of waiting jobs among the active ones, and the remaining time of several."""
    waiting = sum(job.state == "queued" for job in jobs)
    left = left_words(data.outlook().seconds_left(jobs)) if len(jobs) > 1 else ""
    counts = f"{counted(waiting, 'job')} waiting" if waiting else "No job is waiting"
    return f"{counts} · All {len(jobs)} jobs: {left}" if left else counts


def _show_waiting(job: Job, place: int, waiting: int, others: Sequence[ModelId]) -> None:
    with _row(key=f"run_waits_{job.id}", gap="xsmall"):
        st.markdown(f"{place + 1}. {_name(job, others)}", width="stretch")
        # Their keys differ from the key of the running job's button.
        up, down, cancel = (f"run_waits_{label}_{job.id}" for label in ("Move up", "Move down", "Cancel"))
        icon_button("Move up", "arrow_upward", up, place == 0, _move, (job.id, False))
        icon_button("Move down", "arrow_downward", down, place == waiting - 1, _move, (job.id, True))
        icon_button("Cancel", "close", cancel, False, _act, (data.queue().cancel, job.id))
    elsewhere = data.queue().is_local and job.host not in (None, socket.gethostname())
    if elsewhere and (reason := _lacking(job.text)):
        st.caption(literal(f"Waiting for machine {job.host}: {reason}."))
    _show_saved(job)


def _show_other(work: Job) -> None:
    """Show a search or a question; its trials or answers are on its own page."""
    kind, page = PAGES[work.kind]
    icon, state = STATES.get(work.state, ("", ""))
    with _row(key=f"run_{work.kind}_{work.id}", gap="xsmall"):
        words = f"{icon} {kind}: **{literal(work_title(work))}**"
        st.markdown(f"{words} · {state}" if state else words, width="stretch")
        st.page_link(page, label="Show", icon=":material/search:")
        if work.kind == SEARCH and work.state in ("failed", "cancelled"):
            _button("Try again", work, data.queue().retry)
        if not work.active:
            _button("Remove from list", work, data.queue().delete)
        elif not work.cancel:
            _button("Cancel", work, data.queue().cancel)
    if work.active:
        st.progress(work.share, data.outlook().words(work))
    elif work.error:
        st.error(literal(work.error))


@st.cache_data(max_entries=1000, ttl=FETCH_SECONDS, show_spinner=False)
def _lacking(spec: str) -> str | None:
    return lacking_here(spec)


def _show_saved(job: Job) -> None:
    """Show the folder of a job that exports its model."""
    if job.spec.save:
        planned = f"Exports to {job.spec.save} as {type_words(job.spec)}"
        done = job.state == "done"
        st.caption(literal(saved_words(job.spec) if done else planned))


def _show_ended(models: Sequence[ModelId]) -> None:
    """Show the jobs that ended last, except the one of `show_current`."""
    current = {job.id for job in current_jobs()}
    ended = [job for job in data.queue().ended(SHOWN + 1) if job.id not in current]
    ended += data.queue().works([*PAGES], ENDED, SHOWN)
    ended = sorted(ended, key=lambda job: job.finished or 0.0, reverse=True)[:SHOWN]
    if not ended:
        return
    failed = sum(job.state == "failed" for job in ended)
    label = "Ended jobs" + (f", {failed} failed" if failed else "")
    folded = st.expander(label, key=FOLDED, on_change="rerun")
    if folded.open:  # each job reads its log file
        with folded:
            for job in ended:
                with st.container(border=True, key=f"run_job_{job.id}", gap="small"):
                    if job.kind in PAGES:
                        _show_other(job)
                    else:
                        _show(job, models)


def _name(job: Job, others: Sequence[ModelId]) -> str:
    """Return the name of a job's variant; `others` are models whose display names must differ."""
    return literal(name_with_model(job.spec.variant, data.called(job.spec.variant, *others)))


def _show(job: Job, others: Sequence[ModelId]) -> None:
    icon, state = STATES[job.state]
    if job.active and job.cancel:
        state = "cancelling"
    name = f"{icon} **{_name(job, others)}**"
    with _row():
        st.markdown(f"{name} · {state}" if state else name, width="stretch")
        if job.active:
            _actions(job)
    if job.state == "running":
        st.progress(job.share, data.outlook().words(job))
    if job.state != "failed":
        _show_saved(job)
    if job.state == "failed":
        st.error(job.error or "The job recorded no error message; see its log.")
    if job.state == "done" and (result := data.result(job.spec.variant.key)):
        if numbers := _numbers(job.spec, result):
            st.markdown(literal(numbers))
        if gap := describe_gap(result):
            st.caption(gap)
    if not job.active:
        with st.container(horizontal=True, vertical_alignment="center"):
            _actions(job)


def _numbers(spec: RunSpec, result: Result) -> str:
    """Return the numbers that a run wanted, each with that of the dense model, if known."""
    dense = baseline(spec)
    base = data.result(dense.variant.key) if dense else None
    known = {row.identity: value_words(row.metric, row.value) for row in base.measurements} if base else {}
    words = []
    for row in numbers_of(spec, result):
        name = number_name({"metric": row.metric, "dataset": row.dataset})
        of_dense = f" (dense {known[row.identity]})" if row.identity in known else ""
        words.append(f"{name}: {value_words(row.metric, row.value)}{of_dense}")
    return " · ".join(words)


def _row(key: str | None = None, gap: Literal["small", "xsmall"] = "small") -> DeltaGenerator:
    """Return a row whose text shrinks before its buttons."""
    return st.container(horizontal=True, vertical_alignment="center", wrap=False, key=key, gap=gap)


def _actions(job: Job) -> None:
    queue = data.queue()
    if job.state == "done":
        links.show_own(data.called(job.spec.variant), [job.spec.variant.key])
    if job.active and not job.cancel:
        _button("Cancel", job, queue.cancel)
    result = data.result(job.spec.variant.key) if job.state == "cancelled" else None
    if result and result.variant.cut_short:  # training stored its best weights
        _button("Evaluate the partly trained model", job, queue.retry)
        _button("Resume training", job, queue.resume)
    elif job.state in ("failed", "cancelled"):
        _button("Try again", job, queue.retry)
    if not job.active:
        _button("Remove from list", job, queue.delete)
    if job.started:
        with st.popover("Show log", key=f"run_log_{job.id}"):
            st.code(log_tail(job.id, 40) or "The log is empty.", language=None, wrap_lines=True)


def _button(label: str, job: Job, action: Callable[[int], object]) -> None:
    st.button(label, key=f"run_{action.__name__}_{job.id}", on_click=_act, args=(action, job.id))


def _act(action: Callable[[int], object], job_id: int) -> None:
    try:
        action(job_id)
    except UserError as error:
        st.toast(str(error))


def _move(job_id: int, later: bool) -> None:
    _act(lambda moved: data.queue().move(moved, later), job_id)


def _cancel_all() -> None:
    st.toast(f"Cancelled {counted(data.queue().cancel_all(), 'job')}.")
