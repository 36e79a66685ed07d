"""Points that a chart could have and does not: which runs would make them, and how long those take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from core.cache import hub
from core.data import files
from core.data.texts import BY_ID
from core.errors import UserError
from core.formatting import format_duration
from core.request.complete import complete
from core.request.estimate import estimate_left
from core.specs import Dtype, Perplexity, RunSpec, Task, TextWindows
from dashboard import data


@dataclass(frozen=True)
class MissingRuns:
    specs: tuple[RunSpec, ...]
    seconds: float
    error: str | None = None  # why nothing can be run here


@st.cache_data(max_entries=16, ttl=300, show_spinner=False)
def offer(
    model: str,
    chains: Sequence[str],
    calibration: str | None,
    train: str | None,
    perplexity: Sequence[str] = (),
    tasks: Sequence[str] = (),
    scoring: Dtype | None = None,
    stamp: tuple = (),
) -> MissingRuns:
    """Return the runs of chains with their measurements, all in the command line's notation."""
    try:
        specs = tuple(
            complete(
                data.model_to_run(model),
                chain,
                calibration=TextWindows.parse(calibration) if calibration else None,
                train=TextWindows.parse(train) if train else None,
                perplexity=[Perplexity.parse(text) for text in perplexity],
                tasks=[Task.parse(text) for text in tasks],
                scoring=scoring,
            )
            for chain in chains
        )
        for spec in specs:
            _check_texts(spec)
        return MissingRuns(specs, estimate_left(specs, data.store()).seconds)
    except UserError as error:
        return MissingRuns((), 0.0, str(error))


def _check_texts(spec: RunSpec) -> None:
    """Raise `UserError` for a text that is not here and cannot be fetched."""
    names = [stage.calibration.corpus for stage in spec.variant.stages if stage.calibration]
    for name in (*names, *(wanted.corpus for wanted in spec.perplexity)):
        corpus = BY_ID.get(name)
        if corpus and not (files.find(corpus.file) or corpus.embedded or hub.online()):
            raise UserError(f"{corpus.id} is not here and cannot be fetched; choose another text at the left.")


def show_offer(key: str, found: MissingRuns, what: str) -> None:
    """Show the button `what`, with the time it takes, that queues an offer's runs; or why they cannot run here."""
    if found.error:
        st.caption(f"This machine cannot add points here: {found.error}")
        return
    active = [job.spec for job in data.active_jobs()]
    waiting = [spec for spec in found.specs if spec in active]
    left = [spec for spec in found.specs if spec not in active]
    with st.container(horizontal=True, vertical_alignment="center"):
        if waiting:
            st.caption(f":material/hourglass_top: {len(waiting)} of them queued or running")
            st.page_link("views/run.py", label="See progress", icon=":material/play_circle:")
        if left:
            share = found.seconds * len(left) / len(found.specs)
            st.button(
                f"{what.format(len(left))} ({format_duration(share)})",
                key=key,
                icon=":material/add_chart:",
                on_click=_queue,
                args=(left,),
            )


def _queue(specs: list[RunSpec]) -> None:
    for spec in specs:
        data.queue().submit(spec)
    st.toast(f"Queued {len(specs)}; they appear here as they are done.")
