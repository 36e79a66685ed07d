"""Fixtures that every test shares."""

import os

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture
def results_dir(tmp_path, monkeypatch):
    """An empty folder for the user's own results, with no shipped rows beside it."""
    monkeypatch.setenv("SLIMSCOPE_RESULTS", str(tmp_path / "results"))
    monkeypatch.delenv("SLIMSCOPE_DB", raising=False)
    return tmp_path / "results"
