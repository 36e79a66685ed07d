"""The missing points of a curve and numbers of variants, and the buttons that run them with their time estimates."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.base.errors import UserError, counted
from core.cache import hub
from core.data import files
from core.data.cards import SEVEN
from core.data.texts import BY_ID, called
from core.findings.best.budget import ACCURACY
from core.findings.best.candidates import TEXTS
from core.findings.best.qualities import Quality
from core.findings.numbers.reporting import listed
from core.findings.rows import choices, missing
from core.findings.rows.other_texts import WINDOWS
from core.findings.sharing import shared
from core.metrics import FIDELITY
from core.notation.chain import DENSE, last_amount, parse
from core.notation.formatting import format_amount, format_duration, label
from core.request.complete import complete
from core.request.expected.estimate import estimate_left
from core.request.settings import RunSettings
from core.specs import DTYPES, EXTERNAL, Dtype, Perplexity, RunSpec, Task, TextWindows
from dashboard import data
from dashboard.charts.elements.style import is_hollow
from dashboard.shared import links
from dashboard.shared.binding import multiselect
from dashboard.shared.pickers import ELSEWHERE, Chosen

OPEN, UNSCORED, ESTIMATED = "explore_missing", "explore_unscored", "explore_estimated"  # keys of the expanders
PRESELECTED = 5  # variants to measure, at most


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


def offer_points(chosen: Chosen, dense: pd.DataFrame, found: pd.DataFrame, shown: Sequence[str]) -> None:
    """Offer to run missing points of single methods, and of highlighted chains (`shown`) that have a point."""
    wanted = _wanted(dense, found, chosen.methods, shown)
    count = sum(map(len, wanted.values()))
    if not count:
        return
    title = f"{count} points are not measured yet" if count > 1 else "One point is not measured yet"
    box = st.expander(title, key=OPEN, on_change="rerun")
    if not box.open:  # an estimate reads all results
        return
    here, on = texts_here(chosen.text, chosen.calibration, chosen.training), ""
    with box:
        if here.lacking:
            there = _measured_on(data.frame(chosen.model), here)
            wanted = {series: [one for one in chains if one not in there] for series, chains in wanted.items()}
            corpus = called(Perplexity.parse(here.text).corpus)
            on = f" on {corpus}"
            names = listed([called(name) for name in here.lacking])
            st.caption(
                f"Not on this machine, and not available for download: {names}. New points use {corpus} and data that "
                "are available here. They have hollow markers and compare by their multiples of dense."
            )
            if not any(wanted.values()):
                st.caption(f"All of these points are measured{on}.")
                show, key = st.session_state.update, "explore_show_elsewhere"
                st.button("Show them, hollow", key=key, on_click=show, args=({ELSEWHERE: True},))
                return
        chosen_chains = [chain for series, chains in wanted.items() if chains for chain in _choose(series, chains)]
        if not chosen_chains:
            st.caption("Choose the points to run.")
            return
        button = f"Run these {{}} points{on}" if len(chosen_chains) > 1 else f"Run this point{on}"
        runs = [Wanted(chain, here.calibration, here.train) for chain in chosen_chains]
        key, measures, elsewhere = "explore_run_missing", Measures(here.text), bool(here.lacking)
        show_offer(key, button, chosen.model, runs, measures, elsewhere)


@shared
def _measured_on(frame: pd.DataFrame, here: TextsHere) -> set[str]:
    """Return the chains with a perplexity on these texts."""
    text = Perplexity.parse(here.text)
    rows = frame[(frame["metric"] == "perplexity") & (frame["dataset"] == text.corpus)]
    name = choices.text_name(text.corpus, text.window, text.windows, text.spread)
    same = [choices.text_name(*one) == name for one in rows[WINDOWS].itertuples(index=False, name=None)]
    return set(choices.filter_by_text(rows[same], here.calibration, here.train)["chain"])


@shared
def _wanted(
    dense: pd.DataFrame, found: pd.DataFrame, methods: Sequence[str], shown: Sequence[str]
) -> dict[str, list[str]]:
    """Return the missing chains by series."""
    patterns = sorted(set(filter(is_hollow, found["pattern"])))
    wanted = missing.of_methods(found, methods, patterns)
    if dense.empty:
        wanted = {label(DENSE): [DENSE]} | wanted
    return wanted | missing.of_chains(found[found["series_label"].isin(shown)], patterns)


def _choose(series: str, chains: Sequence[str]) -> list[str]:
    """Show the missing amounts of a series; preselect all for a single method and none for a chain."""
    by_amount = {format_amount(last_amount(parse(chain))): chain for chain in chains}
    plain = not any("+" in chain for chain in chains)
    chosen = st.pills(
        series,
        list(by_amount),
        selection_mode="multi",
        default=list(by_amount) if plain else [],
        key=f"explore_missing_{series}",
    )
    return [by_amount[one] for one in chosen]


def offer_numbers(chosen: Chosen, found: pd.DataFrame, quality: Quality) -> None:
    """Offer to measure the quality of variants that fit without it, or that may fit once it is known.

    `found` are rows of `core.findings.best.budget.ranked`. Variants without training are preselected, as they take less
    time.
    """
    lacking = _lacking(found, quality)
    if lacking.empty:
        return
    count = f"{len(lacking)} variants are" if len(lacking) > 1 else "One variant is"
    box = st.expander(f"{count} not ranked: {quality.unscored}", key=UNSCORED, on_change="rerun")
    if not box.open:  # an estimate reads all results
        return
    with box:
        names = {row["key"]: row["name"] for _, row in lacking.iterrows()}
        quick = lacking.loc[lacking["chain"].map(missing.is_training_free).astype(bool), "key"]
        keys = multiselect(
            "Variants to measure",
            list(names),
            default=list(quick[:PRESELECTED]),
            format_func=names.__getitem__,
            key=f"{UNSCORED}_{quality.column}",
            help="A variant whose model is not cached is compressed again first.",
        )
        if not keys:
            st.caption("Choose the variants to measure.")
            return
        measures = seven_tasks(chosen) if quality.column == ACCURACY else Measures(chosen.text)
        measures = measures._replace(fidelity=quality.column in FIDELITY)
        button = "Measure these {} variants" if len(keys) > 1 else "Measure this variant"
        runs = _runs(lacking.loc[lacking["key"].isin(keys), ["chain", *TEXTS]])
        show_offer("explore_run_unscored", button, chosen.model, runs, measures)


def offer_estimates(chosen: Chosen, estimates: pd.DataFrame) -> None:
    """Offer to run estimated chains (rows of `combinations.select`): the best one, or all."""
    if estimates.empty:
        return
    count = f"{len(estimates)} estimated chains" if len(estimates) > 1 else "the estimated chain"
    box = st.expander(f"Measure {count}", key=ESTIMATED, on_change="rerun")
    if not box.open:  # an estimate of the time reads all results
        return
    runs = _runs(estimates[["chain", *TEXTS, "seed", "dtype"]])
    with box:
        label, measures = "Measure the best estimate", Measures(chosen.text)
        show_offer("explore_run_best", label, chosen.model, runs[:1], measures)
        if len(estimates) > 1:
            show_offer("explore_run_estimated", "Measure all {} estimates", chosen.model, runs, measures)


def _runs(rows: pd.DataFrame) -> list[Wanted]:
    """Return the run of each row, with its data; and with its seed and precision, if the rows have them."""
    known = rows.assign(seed=rows["seed"].fillna(0).astype(int)) if "seed" in rows else rows
    known = known.astype(object).where(known.notna(), None)
    return [Wanted(*row) for row in known.itertuples(index=False, name=None)]


@shared
def _lacking(found: pd.DataFrame, quality: Quality) -> pd.DataFrame:
    """Return the variants that lack the quality alone and that a run can measure, the lowest perplexity first."""
    only = found["fits"] | (found["undecided"] & (found["misses"] == quality.lacking))
    lacking = found[only & ~found["scored"] & ~found["method"].isin(EXTERNAL)]
    return lacking.sort_values("times_dense", kind="stable")
