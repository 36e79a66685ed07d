"""The Python API: the examples of its page, and its errors."""

import doctest
import os
import shutil
import subprocess
import sys

import pytest

from core import api
from core.engine import runs
from core.paths import PROJECT

pytestmark = pytest.mark.usefixtures("machine")


@pytest.fixture
def at_home(folder, tmp_path, monkeypatch):
    """A working folder with a model and a text by the names of the page."""
    shutil.copytree(folder / "tiny", tmp_path / "my-model")
    (tmp_path / "my-text.txt").symlink_to(folder / "text.txt")
    monkeypatch.chdir(tmp_path)


def test_documented_examples_give_the_documented_results(at_home, monkeypatch):
    monkeypatch.setitem(sys.modules, "slimscope", api)  # the installed package is a copy of this module
    failed, tried = doctest.testfile(str(PROJECT / "docs" / "python.md"), module_relative=False)
    assert failed == 0 and tried > 10


def test_api_and_commands_share_results(at_home, capsys):
    from core.cli.app import main

    variant = api.compress("my-model", "magnitude@0.5")
    table = api.evaluate(variant, perplexity="my-text.txt@32:4")
    assert main(["run", "my-model", "magnitude@0.5", "--perplexity", "my-text.txt@32:4", "--json"]) == 0
    assert f'"value": {table["value"][0]}' in capsys.readouterr().out
    assert set(table["key"]) == {variant.key}


def test_fidelity_is_measured_on_request(at_home):
    variant = api.compress("my-model", "magnitude@0.5")
    table = api.evaluate(variant, perplexity="my-text.txt@32:4", fidelity=True).set_index("metric")
    assert list(table.index) == ["perplexity", "kl", "kl_p99", "agreement"]
    assert table.loc["kl", "value"] == table.loc["perplexity", "kl"] > 0
    assert 0 < table.loc["perplexity", "agreement"] < 1


def test_stored_numbers_do_not_wait_for_another_run(at_home, monkeypatch):
    def lock(on_wait=None):
        raise AssertionError("waits")

    dense = api.load("my-model")
    before = api.evaluate(dense, perplexity="my-text.txt@32:4")
    monkeypatch.setattr(runs, "compute_lock", lock)
    assert api.evaluate(dense, perplexity="my-text.txt@32:4").equals(before)
    with pytest.raises(AssertionError, match="waits"):
        api.evaluate(dense, perplexity="my-text.txt@32:2")


def test_api_rejects_empty_runs_and_lists_the_options():
    with pytest.raises(api.UserError, match="No measurement is given"):
        api.evaluate(api.load("./tiny"))


def test_another_package_named_core_gives_a_sentence(tmp_path):
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").touch()
    known = os.environ | {"PYTHONPATH": str(tmp_path)}
    code = f"import runpy; runpy.run_path({str(PROJECT / 'core' / 'api.py')!r})"
    done = subprocess.run([sys.executable, "-c", code], env=known, cwd=tmp_path, capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert (
        last.startswith("ImportError: Another package named core hides that of Slimscope")
        and str(tmp_path / "core") in last
    )
