"""The command `autopilot` on a tiny model."""

import shutil
from types import SimpleNamespace

import pytest
from safetensors.torch import load_file, save_file

from core.cli import autopilot
from core.cli.app import main
from core.models.sources import identify
from core.notation.chain import ChainDefaults, parse
from core.request.resolve import resolve_chain
from core.search.certificate import Certificate, StoredFit
from core.search.question import Question, prepare
from core.search.space import Restrictions
from core.search.studies import FILE
from core.specs import VariantSpec
from core.store.store import Store
from tests.core.search.texts import CALIBRATION

pytestmark = pytest.mark.usefixtures("tiny_texts")
COMMAND = ["autopilot", "./wide", "--methods", "magnitude,rtn"]


@pytest.fixture
def half(tiny_texts):
    """About half of the megabytes of the dense model."""
    prepared = prepare(Question(model="./wide", max_mb=10.0, minutes=1.0), Store())
    return f"{0.6 * prepared.space.sizes[0, 0] / 1e6:.4f}"


def test_a_search_prints_its_trials_and_a_certificate(half, capsys):
    assert main([*COMMAND, "--max-mb", half, "--minutes", "0.06"]) == 0
    out, err = capsys.readouterr()
    assert f"below {half.rstrip('0')} MB" in out
    assert 0 < err.index("The first trial measures ") + 1 < err.index("1: ") and "the best so far" in err
    for words in ("winner", "dense", "The budget excludes", "slimscope run ./wide", "--format gguf"):
        assert words in out
    assert main([*COMMAND, "--max-mb", half, "--minutes", "0.06"]) == 0
    again = capsys.readouterr()
    assert "winner" in again.out and not again.err  # its time is over


def test_a_model_with_nan_weights_is_one_sentence(half, error_of):
    shutil.copytree("wide", "broken", dirs_exist_ok=True)
    weights = load_file("broken/model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, "broken/model.safetensors", {"format": "pt"})
    lines = error_of("autopilot", "./broken", "--methods", "magnitude,rtn", "--max-mb", half).splitlines()
    assert lines[-1].startswith("The weights of broken are not all finite: model.norm.weight contains NaN")
    assert sum("not all finite" in line for line in lines) == 1, lines


def test_a_search_without_a_trial_lists_stored_variants_and_fails(half, monkeypatch, capsys):
    fit = StoredFit("text.txt@32:4", "rtn@4bit", "k", 0.1, 20.0, 1.25)
    counts = {"judge": "text.txt@32:4", "documents": 0, "tried": 0, "eliminated": 0, "excluded": 0, "chains": 2}
    found = Certificate(rows=(), fits=False, stored=(fit,), **counts)
    monkeypatch.setattr("core.search.session.conduct", lambda *_: found)
    assert main([*COMMAND, "--max-mb", half]) == 2
    out, err = capsys.readouterr()
    assert "text.txt@32:4" in out and "rtn@4bit" in out and "1.25" in out and "winner" not in out
    assert "There is no winner" in err and "Give more minutes." in err


def test_a_damaged_file_of_earlier_searches_is_one_sentence_and_the_search_runs(half, results_dir, capsys):
    results_dir.mkdir(exist_ok=True)
    (results_dir / FILE).write_bytes(b"something else" * 100)
    assert main([*COMMAND, "--max-mb", half, "--minutes", "0.06"]) == 0
    out, err = capsys.readouterr()
    assert "winner" in out and err.count("is damaged; move it away") == 1 and "Traceback" not in err


@pytest.mark.parametrize(
    ("chain", "only", "name"),
    [("rtn@4bit", None, "gguf"), ("rtn@4bit", "compressed-tensors", "compressed-tensors"), ("svd@0.5", None, None)],
)
def test_the_printed_export_is_one_that_the_winner_fits(chain, only, name):
    question = Question(model="./wide", max_mb=10.0, minutes=1.0, restrictions=Restrictions(only=only))
    source = identify("./wide")
    stages = resolve_chain(parse(chain), ChainDefaults(CALIBRATION, None, 0))
    winner = VariantSpec(model="./wide", revision=source.revision, stages=stages)
    found = autopilot._program(SimpleNamespace(question=question, source=source), winner)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--max-mb", "0.0001"], "The smallest takes"),
        (["--max-mb", "100MB"], "--max-mb '100MB' is no number; give the megabytes without a unit, such as 90."),
        (["--max-mb", "-1"], "--max-mb -1 is not a number above 0"),
        (["--max-mb", "1", "--minutes", "0"], "--minutes 0 is not a number above 0"),
        (["--max-mb", "1", "--only", "gguff"], "gguf"),
        (["--max-mb", "1", "--methods", "wandaa"], "wanda"),
    ],
)
def test_a_question_without_an_answer_is_one_sentence(options, words, error_of):
    assert words in error_of(*COMMAND, *options)
