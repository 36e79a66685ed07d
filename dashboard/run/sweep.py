"""The newest sweep, while it runs and until another job is queued: progress, failures, machines and its chart."""

from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial

import streamlit as st

from core.findings.axes import PACKED, RATIO
from core.findings.rows import choices, points
from core.jobs.countdown import left_words
from core.jobs.queue import Job
from core.jobs.supervisor import MACHINE
from core.notation.short import name_with_model
from dashboard import data
from dashboard.charts.curve import perplexity_curve
from dashboard.exports.files import export_name, model_part
from dashboard.shared.literal import literal
from dashboard.shared.widgets import show_chart

REFRESH_SECONDS = 2
SHOWN = 5  # failures
CHARTS = 3  # one for each model


def show_sweep() -> None:
    """Show the newest sweep, if the newest job is of one; refresh while one of its jobs is active."""
    active = any(job.active for job in data.queue().newest_sweep())

    @st.fragment(run_every=REFRESH_SECONDS if active else None)
    def renewed() -> None:
        jobs = data.queue().newest_sweep()
        if not jobs:
            return
        with st.container(border=True, key="run_sweep"):
            st.header("Sweep", anchor=False)
            ended = sum(not job.active for job in jobs)
            st.progress(ended / len(jobs), progress_words(jobs))
            _show_failures(jobs)
            of_model = {job.spec.variant.model_id: job.spec.variant for job in jobs}
            for variant in list(of_model.values())[:CHARTS]:
                _show_chart(data.called(variant), {job.spec.variant.key for job in jobs})

    renewed()


def progress_words(jobs: Sequence[Job]) -> str:
    """Return how many runs of a sweep are done, failed and running, on which machines, and the time left."""
    states = Counter(job.state for job in jobs)
    parts = [f"{states['done']} of {len(jobs)} runs done"]
    parts += [f"{states[state]} {state}" for state in ("failed", "cancelled") if states[state]]
    placed = [job for job in jobs if job.state == "running" and job.stage != MACHINE]
    machines = sorted({job.machine for job in placed if job.machine})
    if placed:
        parts.append(f"{len(placed)} running" + (f" on {', '.join(machines)}" if machines else ""))
    if waiting := states["running"] - len(placed):
        parts.append(f"{waiting} waiting for a machine")
    active = [job for job in jobs if job.active]
    return " · ".join(filter(None, [*map(literal, parts), left_words(data.outlook().seconds_left(active))]))


def _show_failures(jobs: Sequence[Job]) -> None:
    failed = [job for job in jobs if job.state == "failed"]
    for job in failed[:SHOWN]:
        name = name_with_model(job.spec.variant, data.called(job.spec.variant))
        st.error(literal(f"{name}: {job.error or 'see its log.'}"))
    if len(failed) > SHOWN:
        st.caption(f"{len(failed) - SHOWN} more runs failed; see the ended jobs.")
    if failed:
        icon = ":material/refresh:"
        st.button("Retry the failed runs", key="run_retry_failed", icon=icon, on_click=_retry, args=(failed,))


def _retry(failed: Sequence[Job]) -> None:
    data.queue().submit_all([job.spec for job in failed])


def _show_chart(model: str, keys: Collection[str]) -> None:
    """Show the stored perplexities of a model's variants with these keys, on the text that most of them have."""
    if model not in data.models():
        return
    frame = data.frame(model)
    mine = frame[frame["key"].isin(keys)]
    texts = choices.texts(mine)
    if not texts:
        return
    name, (corpus, protocol) = next(iter(texts.items()))
    on_text = choices.on_text(frame, corpus, protocol)
    (dense, _), (_, found) = map(points.split_points, (on_text, choices.on_text(mine, corpus, protocol)))
    if found.empty:
        return
    axis = RATIO if found["ratio"].notna().all() and found["pattern"].isna().all() else PACKED
    draw = partial(perplexity_curve, found, dense, axis, corpus=corpus)
    caption = f"Perplexity of this sweep: {model}, {name}."
    table = found[["series_label", "amount_label", "value", "low", "high"]]
    show_chart(
        f"run_sweep_chart_{model}", draw, caption, table, alt=caption, file=export_name("sweep", model_part(model))
    )
