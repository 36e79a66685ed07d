"""Every benchmark runs to its table on a tiny model, texts and tasks."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import smoke
from core.paths import PROJECT

FILES = (PROJECT / "benchmarks").glob("*.py")
MODULES = sorted(file.stem for file in FILES if "\nSMOKE = " in file.read_text())


def test_the_benchmarks_are_found():
    assert {"sparsegpt", "zeroshot", "pages", "shipping", "training"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_runs_to_its_table(name, capsys):
    module = import_module(f"benchmarks.{name}")
    smoke.smoke(module.main, module.SMOKE)
    printed = capsys.readouterr().out
    assert "┃" in printed and "│" in printed


def test_the_flag_gives_tiny_arguments_and_a_tiny_model(monkeypatch):
    seen = []

    def main(model: str, windows: int = 16) -> None:
        seen.append((windows, (Path(model) / "config.json").is_file()))

    monkeypatch.setattr(sys, "argv", ["benchmark", "--smoke"])
    smoke.run(main, {"windows": 2})
    assert seen == [(2, True)]
