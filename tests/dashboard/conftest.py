"""Fixtures of the dashboard's tests: tidy rows of made-up results, and the app on a store that holds them."""

from functools import cache

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1.element_tree import Selectbox

from core.base import paths
from core.jobs.queue import Queue
from core.store.database import database_url
from core.store.store import Store
from dashboard import data
from dashboard.charts.elements import drawing
from tests.synthetic import curve


@pytest.fixture(scope="session", autouse=True)
def looked_through():
    """Charts with a property that plotly does not have fail."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "LOOKED_THROUGH", True)
        yield


@pytest.fixture(scope="session", autouse=True)
def scanned_once():
    """Every opened app looks for Streamlit components in the metadata of all packages, which takes half a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture
def fresh(results_dir, monkeypatch):
    """The store of a machine without runs, to write to: it has the bundled rows."""
    return _opened(monkeypatch)


@pytest.fixture
def store(monkeypatch, tmp_path, request):
    """An empty store, without the bundled rows."""
    monkeypatch.setattr(paths, "SHIPPED_MEASURED", tmp_path / "bundled")
    return request.getfixturevalue("fresh")


@pytest.fixture
def filled(store):
    """The made-up curve, to write to."""
    return _with_curve(store)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    """The bundled rows, which the tests of a module only read: pages of it share what they have read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIMSCOPE_RESULTS", str(tmp_path_factory.mktemp("bundled")))
        patch.delenv("SLIMSCOPE_DB", raising=False)
        yield _opened(patch)


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The made-up curve, which the tests of a module only read."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("example")
        patch.setenv("SLIMSCOPE_RESULTS", str(place))
        patch.delenv("SLIMSCOPE_DB", raising=False)
        patch.setattr(paths, "SHIPPED_MEASURED", place / "bundled")
        yield _with_curve(_opened(patch))


def _opened(patch):
    """Return the store and queue of this machine, without what pages have read of another one."""
    patch.delenv("SLIMSCOPE_DATA", raising=False)
    st.cache_data.clear()
    st.cache_resource.clear()
    store = Store(database_url(None))
    queue = Queue(store)
    patch.setattr(data, "queue", lambda: queue)
    return store


def _with_curve(store):
    for one in curve():
        store.put(one)
    return store


@pytest.fixture
def typing(monkeypatch):
    """Let anything be typed into a select box, as in a browser; Streamlit's tester accepts listed options only."""

    def as_typed(field):
        return WidgetState(id=field.id, string_value=field.value)

    monkeypatch.setattr(Selectbox, "_widget_state", property(as_typed))
