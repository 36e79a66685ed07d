"""Offers to run the missing points of a chart, with time estimates."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import streamlit as st

from core.base.errors import UserError, counted
from core.cache import hub
from core.data import files
from core.data.cards import SEVEN
from core.data.texts import BY_ID, called
from core.notation.formatting import format_duration
from core.request.complete import complete
from core.request.expected.estimate import estimate_left
from core.request.settings import RunSettings
from core.specs import DTYPES, Dtype, Perplexity, RunSpec, Task, TextWindows
from dashboard import data
from dashboard.shared import links
from dashboard.shared.pickers import Chosen
from dashboard.shared.series import ELSEWHERE


class Wanted(NamedTuple):
    """A chain to run, with its texts in the notation of the command line."""

    chain: str
    calibration: str | None = None
    train: str | None = None
    seed: int = 0
    dtype: Dtype = "float32"


class Measures(NamedTuple):
    """What to measure, in the notation of the command line."""

    text: str | None = None  # of the perplexity, and of the fidelity to the dense model
    tasks: tuple[str, ...] = ()
    scoring: Dtype | None = None
    fidelity: bool = False


def seven_tasks(chosen: Chosen) -> Measures:
    """Return the perplexity and the seven tasks, on the chosen documents."""
    documents = chosen.documents
    tasks = tuple(str(Task(task=task, limit=int(documents.limit) or None)) for task in SEVEN)
    return Measures(chosen.text, tasks, next((known for known in DTYPES if known == documents.scoring), None))


@dataclass(frozen=True)
class MissingRuns:
    """The runs of missing points."""

    specs: tuple[RunSpec, ...]
    seconds: float
    error: str | None = None  # why this machine cannot run them


class TextsHere(NamedTuple):
    """The texts of runs, in the notation of the command line."""

    text: str
    calibration: str | None
    train: str | None
    lacking: list[str]  # corpora that these replace, because they are not on this machine


def texts_here(text: str, calibration: str | None, train: str | None) -> TextsHere:
    """Replace corpora that are neither on this machine nor available for download by its default ones."""
    for_reading, for_data = data.corpora_here()
    lacking: dict[str, None] = {}

    def here(one: Perplexity | TextWindows, other: str) -> str:
        if _is_here(one.corpus):
            return str(one)
        lacking[one.corpus] = None
        return str(one.model_copy(update={"corpus": other}))

    read = here(Perplexity.parse(text), for_reading)
    calibration, train = (one and here(TextWindows.parse(one), for_data) for one in (calibration, train))
    return TextsHere(read, calibration, train, list(lacking))


def _is_here(name: str) -> bool:
    corpus = BY_ID.get(name)
    return corpus is None or bool(files.find(corpus.file) or corpus.embedded or hub.online())


@st.cache_data(max_entries=16, ttl=300, show_spinner=False)
def runs_of(model: str, wanted: Sequence[Wanted], measures: Measures, stamp: Hashable = ()) -> MissingRuns:
    """Build the runs of chains of a model and their measurements; an error of one prevents all."""
    try:
        specs = tuple(
            complete(
                data.model_to_run(model),
                one.chain,
                RunSettings(
                    calibration=TextWindows.parse(one.calibration) if one.calibration else None,
                    train=TextWindows.parse(one.train) if one.train else None,
                    perplexity=(Perplexity.parse(measures.text),) if measures.text else (),
                    tasks=tuple(map(Task.parse, measures.tasks)),
                    scoring=measures.scoring,
                    seed=one.seed,
                    dtype=one.dtype,
                    fidelity=measures.fidelity,
                ),
            )
            for one in wanted
        )
        for spec in specs:
            _check_texts(spec)
        return MissingRuns(specs, estimate_left(specs, data.store()).seconds)
    except UserError as error:
        return MissingRuns((), 0.0, str(error))


def _check_texts(spec: RunSpec) -> None:
    """Raise `UserError` for a text that is neither on this machine nor available for download."""
    names = [stage.calibration.corpus for stage in spec.variant.stages if stage.calibration]
    for name in (*names, *(wanted.corpus for wanted in spec.perplexity)):
        if not _is_here(name):
            raise UserError(
                f"{called(name)} is not on this machine and cannot be downloaded; choose another text in the sidebar."
            )


def show_offer(
    key: str, label: str, model: str, wanted: Sequence[Wanted], measures: Measures, elsewhere: bool = False
) -> None:
    """Show the button that queues runs, with its time estimate, or the reason that prevents them.

    In its label, `{}` is the number of runs that are not queued yet. Runs `elsewhere` have another text than the curve,
    which then shows such points, too.
    """
    with st.spinner("Estimating ..."):
        found = runs_of(model, wanted, measures, data.stamp())
    if found.error:
        st.caption(f"This machine cannot run these points: {found.error}")
        return
    active = [job.spec for job in data.active_jobs()]
    queued = [spec for spec in found.specs if spec in active]
    new = [spec for spec in found.specs if spec not in active]
    with st.container(horizontal=True, vertical_alignment="center"):
        if queued:
            st.caption(f":material/hourglass_top: {len(queued)} of them queued or running")
            links.show("run", "Show progress", "play_circle")
        if new:
            share = found.seconds * len(new) / len(found.specs)
            title, icon = f"{label.format(len(new))} ({format_duration(share)})", ":material/add_chart:"
            st.button(title, key=key, icon=icon, on_click=_queue, args=(new, elsewhere))


def _queue(specs: list[RunSpec], elsewhere: bool) -> None:
    if elsewhere:
        st.session_state[ELSEWHERE] = True
    for spec in specs:
        data.queue().submit(spec)
    st.toast(f"Queued {counted(len(specs), 'run')}; results appear here.")
