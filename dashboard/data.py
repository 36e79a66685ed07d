"""Data access of the pages: store, job queue and tidy rows, cached until `Renewal` shows a change of the store.

A page shows a change at its next run. While new rows keep arriving, all sessions show the same state for `PAUSE`
seconds, so that they share cached computations.
"""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from math import inf
from threading import Lock
from time import monotonic
from typing import NamedTuple

import pandas as pd
import streamlit as st
from sqlalchemy import URL

from core.base import paths
from core.data.corpora import default_corpora
from core.findings.finding import Number, pairs
from core.findings.numbers.differences import COLUMNS, adjust_together
from core.findings.numbers.fewshot import fewshot_table as after
from core.findings.numbers.frame import VariantRows, build_frame, variant_rows
from core.findings.numbers.reporting import TableRow
from core.findings.seeds import Seeds
from core.findings.sharing import SharedTable
from core.jobs.doing import Outlook
from core.jobs.queue import Job, Queue
from core.models.names import UNTOLD, display_names, meant_by
from core.models.sources import typed_name
from core.results import Result, Variant
from core.specs import PUBLISHED, UNKNOWN, ModelId, VariantSpec
from core.store import bundled
from core.store.database import database_url
from core.store.paper_results import models_of, paper_results
from core.store.row_cache import MOST, RowCache
from core.store.samples import damaged
from core.store.store import Store, StoreStamp

PAUSE = 2.0  # seconds; how long pages may show old rows while newer ones arrive


class _Shown(NamedTuple):
    number: int  # of changes shown so far; a stamp can recur after a row is deleted
    stamp: StoreStamp


class Renewal:
    """The state of the store that all sessions show."""

    def __init__(self, read: Callable[[str | None], StoreStamp], clock: Callable[[], float] = monotonic):
        self._read, self._clock = read, clock
        self._lock = Lock()
        self._shown: dict[str | None, _Shown] = {}
        self._since = -inf  # when the last change was shown

    def stamp(self, model: str | None = None) -> _Shown:
        """Return a cache key for the rows that pages show, of one model or of all.

        Rows read from the store after this call are at least as new.
        """
        with self._lock:
            now = self._read(model)
            shown = self._shown.setdefault(model, _Shown(0, now)).stamp
            if now != shown and (_lost_rows(shown, now) or self._clock() - self._since >= PAUSE):
                self._since = self._clock()
                for name, before in self._shown.items():
                    if (newest := self._read(name)) != before.stamp:
                        self._shown[name] = _Shown(before.number + 1, newest)
            return self._shown[model]

    def show_now(self) -> None:
        """Show the newest rows at the next run of every page."""
        with self._lock:
            self._since = -inf


def _lost_rows(before: StoreStamp, now: StoreStamp) -> bool:
    """Return whether rows were deleted or bundled files changed; pages show both without a pause."""
    return now[0][0] < before[0][0] or now[1] != before[1]


def store() -> Store:
    """Return the store of this machine; it is opened once per process."""
    return _store(database_url(None))


@st.cache_resource(max_entries=4, show_spinner=False)
def _store(url: URL) -> Store:
    return Store(url)


def queue() -> Queue:
    """Return the job queue of this machine; this process runs its jobs unless another process already does."""
    return _queue(store().url)


@st.cache_resource(max_entries=4, show_spinner=False)
def _queue(url: URL) -> Queue:
    jobs = Queue(_store(url))
    jobs.start()
    return jobs


def outlook() -> Outlook:
    """Return what tells the remaining time of jobs, which all sessions show alike, as it only falls."""
    return _outlook(store().url)


@st.cache_resource(max_entries=4, show_spinner=False)
def _outlook(url: URL) -> Outlook:
    return Outlook(_store(url))


def stamp(model: str | None = None) -> Hashable:
    """Return a cache key for the rows that pages show: of one model, by its stored name, or of all models."""
    return _renewal(store().url).stamp(model)


def show_now() -> None:
    """Show all stored rows at the next run of every page, for example after a user's action."""
    _renewal(store().url).show_now()


@st.cache_resource(max_entries=4, show_spinner=False)
def _renewal(url: URL) -> Renewal:
    return Renewal(_store(url).stamp)


def active_jobs() -> list[Job]:
    """Return the running jobs, then the queued ones in their order."""
    return queue().active()


def names() -> Mapping[ModelId, str]:
    """Return the display names of all models with results, including published ones."""
    return _names(store().url, stamp(), bundled.stamp(paths.SHIPPED_PUBLISHED, "*.csv"))


@st.cache_resource(max_entries=2, show_spinner=False)
def _names(url: URL, stamp: Hashable, of_papers: Hashable) -> Mapping[ModelId, str]:
    return _store(url).model_names(*(one.variant.model_id for one in paper_results().values()))


def called(variant: Variant | VariantSpec, *others: ModelId) -> str:
    """Return the display name of a variant's model, unique among all models with results and the models `others`."""
    return display_names([*names(), *others, variant.model_id])[variant.model_id]


def model_named(typed: str) -> str:
    """Return the display name for a name in a link; if several models match, the one with most variants."""
    return _meant(typed, names())[0]


def model_to_run(model: str) -> str:
    """Return the model id that a run takes for a display name."""
    matching = [one for one, shown in names().items() if shown == model]
    one = min(matching, key=lambda one: one.revision in UNTOLD, default=ModelId(model, UNKNOWN))
    return typed_name(one) if one.name == model else f"{one.name}@{one.revision}"


def models() -> list[str]:
    """Return the display names of the models with stored variants, the model with most variants first."""
    return _models(store().url, stamp(), bundled.stamp(paths.SHIPPED_PUBLISHED, "*.csv"))


@st.cache_resource(max_entries=2, show_spinner=False)
def _models(url: URL, stamp: Hashable, of_papers: Hashable) -> list[str]:
    shown = _names(url, stamp, of_papers)
    return list(dict.fromkeys(shown[model] for model in _store(url).model_ids()))


def printed_models() -> list[str]:
    """Return the display names of the models with published results, the smallest first."""
    shown = names()
    return [shown[ModelId(model, PUBLISHED)] for model in models_of(paper_results().values())]


def frame(model: str) -> SharedTable:
    """Return every measurement of a model as tidy rows, including published ones.

    All sessions share the same table until a row of the model changes. `frame.attrs["warnings"]` has a warning for each
    unreadable row.
    """
    url = store().url
    shown, name = _meant(model, names())
    frames = _frames(url, name, stamp(name), bundled.stamp(paths.SHIPPED_PUBLISHED, "*.csv"))
    return frames.get(shown, frames[""])


def stamp_of(model: str) -> Hashable:
    """Return a cache key for a model's results, by its display name."""
    return stamp(_meant(model, names())[1])


def _meant(typed: str, known: Mapping[ModelId, str]) -> tuple[str, str]:
    """Return the display name for a typed name, and the name under which the store has the model's variants."""
    shown = next(iter(meant_by(typed, known)), typed)
    return shown, next((one.name for one, each in known.items() if each == shown), typed)


@st.cache_resource(max_entries=2, show_spinner=False)
def _kept(url: URL) -> RowCache[VariantRows]:
    return RowCache(_store(url), lambda result, own: variant_rows(result))


@st.cache_resource(max_entries=MOST, show_spinner=False)
def _frames(url: URL, name: str, stamp: Hashable, of_papers: Hashable) -> dict[str, SharedTable]:
    """Return the rows of each model with this stored name, by display name; the key "" has an empty table."""
    known, papers = _kept(url).of(name), [one for one in paper_results().values() if one.variant.model == name]
    tidied = build_frame([*known.values.values(), *map(variant_rows, papers)])
    frames = {"": tidied[:0].copy(), **{str(shown): rows for shown, rows in tidied.groupby("model", sort=False)}}
    for rows in frames.values():
        rows.attrs["warnings"] = known.warnings
    return {shown: SharedTable(rows) for shown, rows in frames.items()}


def unread(model: str) -> list[str]:
    """Return a warning for each unreadable row of a model, and for each damaged samples file that was opened."""
    rows = frame(model)
    return [*rows.attrs["warnings"], *damaged(set(rows["key"]))]


def rows(metric: str, datasets: Sequence[str]) -> SharedTable:
    """Return the rows of all models for one metric and these data sets, without published results."""
    return _rows(store().url, stamp(), metric, tuple(datasets))


@st.cache_resource(max_entries=8, show_spinner=False)
def _rows(url: URL, stamp: Hashable, metric: str, datasets: tuple[str, ...]) -> SharedTable:
    frames: list[pd.DataFrame] = [frame(model) for model in models()] or [build_frame([])]
    parts = [
        rows[(rows["metric"] == metric) & rows["dataset"].isin(datasets) & (rows["origin"] != PUBLISHED)]
        for rows in frames
    ]
    return SharedTable(pd.concat(parts, ignore_index=True))


def paired(
    seeds: Sequence[tuple[str, ...]],
    reference: str | tuple[str, ...] | None,
    numbers: Sequence[Number] | None = None,
) -> pd.DataFrame:
    """Return `core.findings.finding.Reader.paired`, of rows that are read once."""
    if reference is None or not seeds:
        return pd.DataFrame(columns=COLUMNS)
    reference = (reference,) if isinstance(reference, str) else reference
    known = _pairs(store().url, stamp(), reference, None if numbers is None else tuple(numbers))
    if lacking := [keys for keys in seeds if keys not in known]:
        of_seeds = _seeds(store().url, stamp())
        known |= pairs(results, store().samples, of_seeds, lacking, reference, numbers)
    return adjust_together(pd.DataFrame([row for keys in seeds for row in known[keys]], columns=COLUMNS))


@st.cache_resource(max_entries=64, show_spinner=False)  # an exported table has one reference per column
def _pairs(
    url: URL, stamp: Hashable, reference: tuple[str, ...], numbers: tuple[Number, ...] | None
) -> dict[tuple[str, ...], list[TableRow]]:
    """Return the cache of `paired`: rows by the variant's keys."""
    return {}


@st.cache_resource(max_entries=2, show_spinner=False)
def _seeds(url: URL, stamp: Hashable) -> Seeds:
    return Seeds(store())


def fewshot_table(model: str) -> pd.DataFrame:
    """Return `core.findings.numbers.fewshot.fewshot_table` of all variants of a model, dense first."""
    return _shots(store().url, stamp_of(model), model)


@st.cache_resource(max_entries=4, show_spinner=False)
def _shots(url: URL, stamp: Hashable, model: str) -> pd.DataFrame:
    rows = frame(model)
    rows = rows[rows["origin"] == "measured"]
    scored = rows[(rows["fewshot"] > 0) | (rows["prompts"] != "")]
    there = results(set(scored["key"]))
    dense = next((one for one in there.values() if one.variant.key == one.variant.dense_key), None)
    return after([one for one in there.values() if one is not dense], dense, store().samples)


def result(key: str) -> Result | None:
    """Return the result of a variant, stored or published."""
    return store().get(key) or paper_results().get(key)


def results(keys: Collection[str]) -> dict[str, Result]:
    """Return the results that exist for these keys, without layer reports of the user's own runs."""
    papers = paper_results()
    return {key: papers[key] for key in keys if key in papers} | store().get_many(keys)


@st.cache_resource(max_entries=1, show_spinner=False)
def published() -> SharedTable:
    """Return the published values."""
    return SharedTable(bundled.published())


@st.cache_data(max_entries=1, ttl=600, show_spinner=False)
def corpora_here() -> tuple[str, str]:
    """Return the default corpora of this machine: for evaluation and for calibration."""
    return default_corpora()
