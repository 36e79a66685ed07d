"""A method of another package works on the command line and in the form, and a broken one breaks no other."""

import os
import subprocess
import sys

import pytest

from core.paths import PROJECT
from core.plugins import load
from tests.package.plugin import write_plugin

BROKEN = "The method broken of random-pruning is skipped: ModuleNotFoundError: No module named 'random_pruning.absent'"
KINDLESS = (
    "The method kindless of random-pruning is skipped: Kindless derives from no base class that the engine runs, "
    "such as ScoreMethod."
)
TAKEN = "The method taken of random-pruning is skipped: the name wanda is already in use."
FORM = """
from streamlit.testing.v1 import AppTest
from core.paths import PROJECT

app = AppTest.from_file(str(PROJECT / "dashboard" / "app.py"), default_timeout=60)
app.query_params["chain"] = "random@0.25"
app.run()
app.switch_page("run/view.py").run()
assert not app.exception
print([field.value for field in app.text_input if field.label == "Chain of stages"])
print([field.value for field in app.selectbox if "Random" in str(field.options)])
"""


@pytest.fixture
def python(machine, folder, tmp_path):
    """Run Python with the plug-in on its path, in the folder of the tiny model."""
    write_plugin(tmp_path)
    known = os.environ | {"PYTHONPATH": f"{PROJECT}{os.pathsep}{tmp_path}"}

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=known, cwd=folder, capture_output=True, text=True, timeout=200)

    return run


def test_a_plugin_is_loaded_and_each_broken_one_is_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(write_plugin(tmp_path))
    found = load({"wanda"})
    assert [(method.name, method.__module__) for method in found.methods] == [("random", "random_pruning")]
    assert found.left_out[0].startswith(BROKEN) and found.left_out[1:] == (KINDLESS, TAKEN)
    monkeypatch.delitem(sys.modules, "random_pruning")


@pytest.mark.full
def test_the_command_line_runs_a_plugin(python):
    done = python("-m", "core", "run", "./tiny", "random@0.5", "--perplexity", "text.txt@32:4", "--seed", "3", "--json")
    assert done.returncode == 0, done.stderr
    assert '"method": "random"' in done.stdout and '"seed": 3' in done.stdout
    assert all(skipped in done.stderr for skipped in (BROKEN, KINDLESS, TAKEN)) and "Traceback" not in done.stderr


@pytest.mark.full
def test_the_form_offers_a_plugin(python):
    done = python("-c", FORM)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['random@0.25']", "['random']"]


@pytest.mark.full
def test_the_doctor_names_skipped_plugins(python):
    words = " ".join(python("-m", "core", "doctor").stdout.split())  # cells wrap
    assert "plug-in random yes Random, from random_pruning" in words and "the name wanda is already in use" in words
