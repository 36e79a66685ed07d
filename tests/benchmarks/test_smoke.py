"""Every benchmark prints its table on a tiny model, texts and tasks: three in `make test`, the others in `full`."""

import sys
from functools import partial
from importlib import import_module

import pytest

from benchmarks import smoke
from benchmarks.dashboard import pages
from core.base.paths import PROJECT
from tests.e2e.browser import require_chromium

FILES = (PROJECT / "benchmarks").glob("[a-z]*/*.py")
MODULES = sorted(f"{file.parent.name}.{file.stem}" for file in FILES if '__name__ == "__main__"' in file.read_text())
IN_TEST = {"methods.sparsegpt", "evaluation.perplexity", "search.prior"}


@pytest.mark.parametrize(
    "name", [name if name in IN_TEST else pytest.param(name, marks=pytest.mark.full) for name in MODULES]
)
def test_each_benchmark_prints_a_table(name, capsys):
    module = import_module(f"benchmarks.{name}")
    smoke.smoke(module.main, module.SMOKE)
    printed = capsys.readouterr().out
    assert "┃" in printed and "│" in printed


@pytest.mark.full
@pytest.mark.e2e
def test_the_pages_are_timed_against_a_floor(results_dir, capsys, monkeypatch):
    require_chromium()
    monkeypatch.setitem(sys.modules, "__main__", pages)  # Streamlit's tester leaves the app there
    results_dir.mkdir()
    rows = pages.in_a_process(partial(pages.compare_with_floor, 1, pages.FLOORS_BUNDLED))
    assert min(min(row.value, row.floor) for row in rows) > 0
    names = {row.name for row in rows}
    assert {"process start to first chart", "first visit, first chart after opening", "another amount"} <= names
    pages.show_floors("bundled results", rows)
    printed = capsys.readouterr().out
    assert "another amount" in printed
