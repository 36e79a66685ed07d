"""The Python API: the examples of its page, and its errors."""

import doctest
import io
import os
import shutil
import subprocess
import sys

import pytest

from core import api
from core.base import paths
from core.base.errors import UserError
from core.base.paths import PROJECT
from core.base.progress import WAITING, WAITING_SENTENCE
from core.cli.app import main
from core.engine import fidelity, runs
from core.findings.finding import Finding
from core.store import slots
from tests.docs.markdown import tables, text

pytestmark = pytest.mark.usefixtures("machine")


@pytest.fixture
def at_home(machine, folder, tmp_path, monkeypatch):
    """A working folder with a model and a text by the names of the page."""
    shutil.copytree(folder / "tiny", tmp_path / "my-model")
    (tmp_path / "my-text.txt").symlink_to(folder / "text.txt")
    monkeypatch.chdir(tmp_path)


def test_documented_examples_give_the_documented_results(at_home, monkeypatch):
    monkeypatch.setitem(sys.modules, "slimscope", api)  # the installed package is a copy of this module
    monkeypatch.setattr(paths, "SHIPPED_MEASURED", PROJECT / "cached_results" / "measured")
    failed, tried = doctest.testfile(
        str(PROJECT / "docs" / "python.md"), module_relative=False, optionflags=doctest.ELLIPSIS
    )
    assert failed == 0 and tried > 10


def test_api_and_commands_share_results(at_home, capsys):
    variant = api.compress("my-model", "magnitude@0.5")
    table = api.evaluate(variant, perplexity="my-text.txt@32:4")
    assert main(["run", "my-model", "magnitude@0.5", "--perplexity", "my-text.txt@32:4", "--json"]) == 0
    assert f'"value": {table["value"][0]}' in capsys.readouterr().out
    assert set(table["key"]) == {variant.key}


def test_fidelity_is_measured_on_request(at_home):
    variant = api.compress("my-model", "magnitude@0.5")
    table = api.evaluate(variant, perplexity="my-text.txt@32:4", fidelity=True, columns="all").set_index("metric")
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


@pytest.fixture
def busy(monkeypatch):
    """A machine on which another run computes until the work has waited twice."""
    free, taken = slots._free, iter("12")
    monkeypatch.setattr(slots, "_free", lambda locks: None if next(taken, None) else free(locks))


@pytest.mark.usefixtures("at_home", "busy")
@pytest.mark.parametrize(
    "work",
    [
        lambda: api.load("my-model"),
        lambda: api.fidelity("my-model", "my-model", perplexity="my-text.txt@32:4"),
        lambda: main(["run", "my-model", "magnitude@0.5", "--perplexity", "my-text.txt@32:4"]),
    ],
    ids=["load", "fidelity", "command"],
)
def test_work_that_waits_says_so_once_in_a_pipe_too(work, capfd, monkeypatch):
    monkeypatch.setattr(fidelity, "LIGHT", 0)
    work()
    assert capfd.readouterr().err.count(WAITING_SENTENCE) == 1


@pytest.mark.usefixtures("at_home", "busy")
def test_a_comparison_of_tiny_models_does_not_wait(capfd):
    api.fidelity("my-model", "my-model", perplexity="my-text.txt@32:4")
    assert WAITING_SENTENCE not in capfd.readouterr().err


def test_progress_is_called_or_drawn_in_a_terminal_only(at_home, busy, monkeypatch):
    seen = []
    api.compress("my-model", "magnitude@0.5", progress=lambda *step: seen.append(step))
    assert seen[0] == seen[1] == (WAITING, 0, 1, "") and len({stage for stage, *_ in seen}) > 1
    monkeypatch.delenv("TQDM_DISABLE", raising=False)  # which commands set
    drawn = []
    for chain, terminal in (("magnitude@0.25", True), ("magnitude@0.75", False)):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", io.StringIO())
            patch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
            api.compress("my-model", chain)
            drawn.append("compress: " in sys.stderr.getvalue())
    assert drawn == [True, False]


@pytest.mark.usefixtures("at_home")
def test_a_missing_device_is_refused_before_the_wait_and_before_stored_numbers(monkeypatch):
    stored = api.load("my-model")
    api.evaluate(stored, perplexity="my-text.txt@32:4")
    monkeypatch.setattr(runs, "compute_lock", pytest.fail)
    monkeypatch.setattr(slots, "compute_lock", pytest.fail)
    with pytest.raises(api.UserError, match="'cuda:99' is not available here; this machine has cpu"):
        api.load("my-model", device="cuda:99")
    assert main(["run", "my-model", "dense", "--perplexity", "my-text.txt@32:4", "--device", "cuda:99"]) == 2


def test_the_page_explains_each_column(at_home):
    variant = api.compress("my-model", "wanda@0.5", calibration="my-text.txt:4x32")
    every = api.evaluate(variant, perplexity="my-text.txt@32:8", columns="all")
    (rows,) = [rows for rows in tables(PROJECT / "docs" / "python.md") if text(rows[0][0]) == "column"]
    names = [name for cells in rows[1:] for name in text(cells[0]).split(", ")]
    assert sorted(names) == sorted(every)
    shown = [name for cells in rows[1:] if text(cells[1]) for name in text(cells[0]).split(", ")]
    assert sorted(shown) == sorted(api.results("my-model")) == sorted(api.DEFAULT_COLUMNS)


def test_results_name_their_model_as_load_does(at_home):
    api.evaluate(api.load("my-model"), perplexity="my-text.txt@32:4")
    assert api.results("./my-model").equals(api.results("my-model")) and len(api.results("my-model")) == 1
    for wrong, words in (("my-modle", "there are results of my-model"), ("my-text.txt", "There is no result of")):
        with pytest.raises(api.UserError, match=words):
            api.results(wrong)
    with pytest.raises(api.UserError, match="known: default, all"):
        api.results(columns="narrow")


def test_api_rejects_empty_runs_and_lists_the_options():
    with pytest.raises(api.UserError, match="No measurement is given"):
        api.evaluate(api.load("./tiny"))


def test_another_package_named_core_gives_a_sentence(tmp_path):
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").touch()
    known = os.environ | {"PYTHONPATH": str(tmp_path)}
    code = f"import runpy; runpy.run_path({str(PROJECT / 'core' / 'api' / '__init__.py')!r})"
    done = subprocess.run([sys.executable, "-c", code], env=known, cwd=tmp_path, capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert (
        last.startswith("ImportError: Another package named core hides that of Slimscope")
        and str(tmp_path / "core") in last
    )


def test_plots_need_a_theme_a_format_and_a_width(at_home, tmp_path):
    variant = api.compress("my-model", "magnitude@0.5")
    api.evaluate(variant, perplexity="my-text.txt@32:4")
    answer = api.curve("my-model")
    with pytest.raises(UserError, match="Unknown theme 'blue'"):
        api.plot(answer, theme="blue")
    with pytest.raises(UserError, match="has no chart"):
        api.plot(Finding(answer.rows, "A sentence."))
    figure = api.plot(answer)
    for place, width, problem in (("a.jpg", 3, "names no format"), ("a.pdf", 0.1, "width"), ("no/a.pdf", 3, "write")):
        with pytest.raises(UserError, match=problem):
            api.save(figure, tmp_path / place, width)
    assert not list(tmp_path.glob("a.*"))


def test_an_answer_needs_what_is_stored(at_home):
    variant = api.compress("my-model", "magnitude@0.5")
    api.evaluate(variant, perplexity="my-text.txt@32:4")
    assert set(api.compare(variant, "dense").rows["key"]) == {variant.key}
    for question, problem in (
        (lambda: api.compare(variant, variant), "named twice"),
        (lambda: api.curve("my-model", family="low rank"), "Unknown family"),
        (lambda: api.curve("my-model", at=0.4), "Unknown amount"),
        (lambda: api.curve("my-model", text="ptb@32"), "Unknown text"),
        (lambda: api.curve("dream"), "no result of 'dream'"),
    ):
        with pytest.raises(UserError, match=problem):
            question()
