"""Fixtures that every test shares."""

import os

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# No example is drawn by chance where nobody looks, and none is timed.
settings.register_profile("slimscope", database=None, deadline=None, derandomize="CI" in os.environ)
settings.load_profile("slimscope")


@pytest.fixture
def results_dir(tmp_path, monkeypatch):
    """An empty folder for the user's own results, with no shipped rows beside it."""
    monkeypatch.setenv("SLIMSCOPE_RESULTS", str(tmp_path / "results"))
    monkeypatch.delenv("SLIMSCOPE_DB", raising=False)
    return tmp_path / "results"
