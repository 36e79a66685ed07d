"""No program lacks a smoke test: benchmarks declare their tiny arguments, and a test runs each program of `tools`."""

import re
import shutil

import pytest

from core.base.paths import PROJECT
from tests.tools.programs import run_program
from tools import same_weights

TESTS = PROJECT / "tests" / "tools"
RUN = re.compile(r'run_program[(,]\s*"([\w.]+)"')


def programs(folder):
    """Return the modules of a folder that are programs."""
    files = (PROJECT / folder).rglob("*.py")
    named = (
        file.relative_to(PROJECT).with_suffix("") for file in files if '__name__ == "__main__"' in file.read_text()
    )
    return {".".join(one.parts) for one in named}


def test_a_test_runs_each_program_of_tools():
    runs = {module for file in TESTS.rglob("test_*.py") for module in RUN.findall(file.read_text())}
    assert runs == programs("tools") >= {"tools.report.results"}


def test_each_benchmark_declares_tiny_arguments():
    sources = {one: (PROJECT / f"{one.replace('.', '/')}.py").read_text() for one in programs("benchmarks")}
    assert {one for one, source in sources.items() if "\n    run(main, SMOKE)\n" not in source} == set()
    assert "benchmarks.methods.sparsegpt" in sources


@pytest.mark.full
def test_a_state_of_a_page_is_exported(results_dir, tmp_path, capsys, monkeypatch):
    assert run_program("tools.exports", tmp_path / "exports", "published-0") == 0
    files = {file.suffix for file in (tmp_path / "exports").iterdir()}
    assert ".tex" in files
    assert "tables" in capsys.readouterr().out


def cells(printed):
    """Return the cells of the printed table by chain."""
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in printed.splitlines() if "│" in line]
    return {chain: tuple(rest) for chain, *rest in rows}


def test_equal_weights_succeed(monkeypatch, capfd):
    monkeypatch.setattr(
        same_weights, "made_by", lambda checkout, commands: {chain: ["key", "hash"] for chain in commands}
    )
    same_weights.main(PROJECT, "magnitude,rtn")
    assert list(cells(capfd.readouterr().out).values()) == [("equal", "equal")] * 2


@pytest.mark.full
def test_different_and_missing_weights_fail(tmp_path, capfd):
    shutil.copytree(PROJECT / "core", tmp_path / "core", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("cached_results", "pyproject.toml"):
        (tmp_path / name).symlink_to(PROJECT / name)
    method = tmp_path / "core" / "methods" / "unstructured" / "magnitude.py"
    method.write_text(method.read_text().replace("weight.abs()", "-weight.abs()"))
    quantiser = tmp_path / "core" / "methods" / "quantised" / "rtn.py"
    quantiser.write_text(quantiser.read_text() + "\nRTN.name = 'other'\n")
    assert run_program("tools.same_weights", tmp_path, "--methods", "magnitude,neuron-magnitude,rtn") == 1
    found = cells(capfd.readouterr().out)
    assert found["neuron-magnitude@0.4"] == ("equal", "equal")
    assert found["magnitude@0.4"] == ("equal", "differs")
    assert found["rtn@4bit,group_size=16"] == ("not made there",) * 2
