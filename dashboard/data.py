"""What pages read: the store, the queue and the tidy frame, cached; a change of the store shows at the next rerun."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from sqlalchemy import URL

from core.analysis.differences import COLUMNS, differences, number_of, over_seeds
from core.analysis.frame import tidy
from core.data.corpora import default_corpora
from core.jobs.queue import Job, Queue
from core.results import Result, Rows
from core.store import shipped
from core.store.database import database_url
from core.store.store import Store

Number = tuple[str, str, str]  # the values of `core.analysis.differences.NUMBER`


def store() -> Store:
    """Return the store of this machine, opened once a process."""
    return _store(database_url(None))


@st.cache_resource(max_entries=4, show_spinner=False)
def _store(url: URL) -> Store:
    return Store(url)


def queue() -> Queue:
    """Return the queue of this machine; this process runs its jobs unless another one already does."""
    return _queue(store().url)


@st.cache_resource(max_entries=4, show_spinner=False)
def _queue(url: URL) -> Queue:
    made = Queue(_store(url))
    made.start()
    return made


def active_jobs() -> list[Job]:
    """Return the jobs that run, then those that wait, in their order."""
    return queue().active()


def frame() -> pd.DataFrame:
    """Return every measurement as a tidy row; `frame.attrs["warnings"]` names what could not be read."""
    return _frame(store().url, store().stamp())


@st.cache_data(max_entries=2, show_spinner=False)
def _frame(url: URL, stamp: tuple) -> pd.DataFrame:
    results, warnings = _read(url, stamp)
    tidied = tidy(results.values())
    tidied.attrs["warnings"] = warnings
    return tidied


@st.cache_resource(max_entries=2, show_spinner=False)
def _read(url: URL, stamp: tuple) -> Rows:
    return _store(url).read()


def paired(
    seeds: Sequence[tuple[str, ...]], reference: str | None, numbers: Sequence[Number] | None = None
) -> pd.DataFrame:
    """Return the `differences` of variants to a reference in these numbers, or else in all that they share.

    `seeds` are the keys of each variant by seed; the first stands for all (`over_seeds`). Without a reference there are
    none.
    """
    if reference is None or not seeds:
        return pd.DataFrame(columns=COLUMNS)
    return _paired(store().url, store().stamp(), tuple(seeds), reference, None if numbers is None else tuple(numbers))


@st.cache_data(max_entries=64, show_spinner=False)  # an exported table has a reference a column
def _paired(
    url: URL, stamp: tuple, seeds: tuple[tuple[str, ...], ...], reference: str, numbers: tuple[Number, ...] | None
) -> pd.DataFrame:
    results = _read(url, stamp).results
    groups = [[_only(results[key], numbers) for key in keys] for keys in seeds]
    samples = over_seeds(groups, _store(url).samples)
    return differences([group[0] for group in groups], _only(results[reference], numbers), samples)


def _only(result: Result, numbers: tuple[Number, ...] | None) -> Result:
    """Return a result with these of its numbers, or all."""
    if numbers is None:
        return result
    kept = tuple(one for one in result.measurements if number_of(one) in numbers)
    return result.model_copy(update={"measurements": kept})


def result(key: str) -> Result | None:
    """Return one variant's result."""
    return store().get(key)


def results() -> dict[str, Result]:
    """Return every variant's result by its key."""
    return _read(store().url, store().stamp()).results


@st.cache_data(max_entries=1, show_spinner=False)
def published() -> pd.DataFrame:
    """Return the papers' values."""
    return shipped.published()


@st.cache_data(max_entries=1, ttl=600, show_spinner=False)
def corpora_here() -> tuple[str, str]:
    """Return the corpora that this machine measures on and calibrates on by default."""
    return default_corpora()
