"""A method of another package works on the command line, and a broken one breaks no other."""

import os
import subprocess
import sys

import pytest

from core.engine import stages
from core.errors import UserError
from core.paths import PROJECT
from core.plugins import load
from core.specs import Stage
from tests.core.engine.applied import compress
from tests.core.tiny import tiny, windows
from tests.package.plugin import write_plugin

BROKEN = "The method broken of random-pruning is skipped: ModuleNotFoundError: No module named 'random_pruning.absent'"
KINDLESS = (
    "The method kindless of random-pruning is skipped: Kindless derives from no base class that the engine runs, "
    "such as ScoreMethod."
)
INVALID = (
    "The method {} of random-pruning is skipped: the name {} is invalid; give lower-case letters, digits and signs of "
    "- _, such as my-method."
)
TAKEN = "The method taken of random-pruning is skipped: the name wanda is already in use."


def test_a_plugin_is_loaded_and_each_broken_one_is_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(write_plugin(tmp_path))
    found = load({"wanda"})
    assert [method.name for method in found.methods] == ["leaving", "random", "undefined"]
    assert {method.__module__ for method in found.methods} == {"random_pruning"}
    chained, nameless = (INVALID.format(*one) for one in (("chained", "'a+b@c,d='"), ("nameless", "None")))
    assert found.left_out[0].startswith(BROKEN) and found.left_out[2:4] == (KINDLESS, nameless)
    assert (found.left_out[1], found.left_out[4]) == (chained, TAKEN)
    monkeypatch.delitem(sys.modules, "random_pruning")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("leaving", "leaving ended the program by sys.exit(3); let it raise an error."),
        ("undefined", "undefined scores some weights as NaN and cannot rank them; correct the method"),
    ],
)
def test_a_score_that_ends_the_program_or_is_no_number_is_one_sentence(name, words, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(write_plugin(tmp_path))
    (method,) = (one for one in load(()).methods if one.name == name)
    monkeypatch.setattr(stages, "build_method", lambda stage: method())
    with pytest.raises(UserError) as error:
        compress(tiny(), Stage(method=name, ratio=0.5), windows())
    assert str(error.value).startswith(words)
    monkeypatch.delitem(sys.modules, "random_pruning")


@pytest.mark.full
def test_the_command_line_runs_a_plugin_and_names_skipped_ones(machine, folder, tmp_path):
    known = os.environ | {"PYTHONPATH": f"{PROJECT}{os.pathsep}{write_plugin(tmp_path)}"}

    def slimscope(*arguments):
        command = [sys.executable, "-m", "core", *arguments]
        return subprocess.run(command, env=known, cwd=folder, capture_output=True, text=True, timeout=200)

    done = slimscope("run", "./tiny", "random@0.5", "--perplexity", "text.txt@32:4", "--seed", "3", "--json")
    assert done.returncode == 0, done.stderr
    assert '"method": "random"' in done.stdout and '"seed": 3' in done.stdout
    assert all(skipped in done.stderr for skipped in (BROKEN, KINDLESS, TAKEN)) and "Traceback" not in done.stderr
    words = " ".join(slimscope("doctor").stdout.split())  # cells wrap
    assert "plug-in random yes Random, from random_pruning" in words and "the name wanda is already in use" in words
