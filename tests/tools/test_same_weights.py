"""The program that compares the weights of two checkouts, on two cheap methods."""

import shutil

from core.paths import PROJECT
from tests.tools.programs import run_program

METHODS = ("--methods", "magnitude,rtn")


def cells(printed):
    """Return the cells of the printed table by chain."""
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in printed.splitlines() if "│" in line]
    return {chain: tuple(rest) for chain, *rest in rows}


def test_a_checkout_makes_the_same_weights_as_itself(capfd):
    assert run_program("tools.same_weights", PROJECT, *METHODS) == 0
    assert list(cells(capfd.readouterr().out).values()) == [("equal", "equal")] * 2


def test_other_weights_and_what_is_not_made_fail(tmp_path, capfd):
    shutil.copytree(PROJECT / "core", tmp_path / "core", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("cached_results", "pyproject.toml"):
        (tmp_path / name).symlink_to(PROJECT / name)
    method = tmp_path / "core" / "methods" / "unstructured" / "magnitude.py"
    method.write_text(method.read_text().replace("weight.abs()", "-weight.abs()"))
    quantiser = tmp_path / "core" / "methods" / "quantised" / "rtn.py"
    quantiser.write_text(quantiser.read_text() + "\nRTN.name = 'other'\n")
    assert run_program("tools.same_weights", tmp_path, *METHODS) == 1
    found = cells(capfd.readouterr().out)
    assert found["magnitude@0.4"] == ("equal", "differs")
    assert found["rtn@4bit,group_size=16"] == ("not made there",) * 2
