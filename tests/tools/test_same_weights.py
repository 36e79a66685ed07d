"""The program that compares the weights of two checkouts, on three cheap methods."""

import shutil

import pytest

from core.base.paths import PROJECT
from tests.tools.programs import run_program
from tools import same_weights


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
