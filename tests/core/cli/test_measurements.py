"""Layer sensitivity and tasks with few-shot examples on the command line."""

import json

import pytest

from core.cli.app import main
from core.engine import execute, scan
from core.evaluation.fewshot.dense import DenseModel
from core.request.reproduce import reproduce
from core.store.store import Store
from tests.core.commands import copy_machine, finish
from tests.core.data.task_rows import PIQA, PIQA_FILE, write

pytestmark = pytest.mark.usefixtures("machine")
RUN = ["run", "./tiny", "sparsegpt@0.7", "--calibration", "text.txt:8x32", "--perplexity", "text.txt@32:2"]
TASKS = ["run", "./tiny", "magnitude@0.5", "--perplexity", "text.txt@32:2", "--tasks", "piqa:4"]


@pytest.fixture(scope="module")
def finished_scan(folder, tmp_path_factory):
    return finish(tmp_path_factory.mktemp("scan"), folder, [*RUN, "--sensitivity", "block"])


@pytest.fixture
def scanned(finished_scan, machine, tmp_path):
    """`machine` after the scan of each block."""
    copy_machine(finished_scan, tmp_path)


def rows():
    (result,) = [result for result in Store().results() if result.variant.method == "sparsegpt"]
    return result, [row for row in result.measurements if row.metric == "sensitivity"]


def test_each_block_is_measured_once_and_printed(scanned, capsys, monkeypatch):
    result, found = rows()
    assert [row.protocol["part"] for row in found] == ["model.layers.0", "model.layers.1"]
    for row in found:
        assert (row.n, row.protocol["windows"], row.protocol["window"]) == (2, 8, 32)
        assert row.dataset == result.variant.stages[0].calibration.corpus and row.stderr > 0
    assert reproduce(result).endswith("--sensitivity=block")
    monkeypatch.setattr(execute, "measure_sensitivity", lambda *_: pytest.fail("scanned again"))
    assert main([*RUN, "--sensitivity", "block"]) == 0
    assert "Most sensitive of 2 blocks" in " ".join(capsys.readouterr().out.split())
    assert main([*RUN, "--json"]) == 0  # its results are stored, and no other part is requested


def test_linears_are_scanned_like_blocks(scanned):
    assert main([*RUN, "--sensitivity", "linear"]) == 0
    result, found = rows()
    assert [row.protocol["by"] for row in found] == ["block"] * 2 + ["linear"] * 14
    assert reproduce(result).endswith("--sensitivity=block --sensitivity=linear")


def test_a_stored_variant_is_scanned_without_recompression(monkeypatch):
    assert main(RUN) == 0
    monkeypatch.setattr(execute, "make_variant", lambda *_: pytest.fail("made again"))
    assert main([*RUN, "--sensitivity", "block"]) == 0
    assert len(rows()[1]) == 2
    with pytest.raises(pytest.fail.Exception):
        main([*RUN, "--sensitivity", "block", "--force"])


def test_an_allocation_by_sensitivity_uses_the_stored_scan(scanned, monkeypatch):
    monkeypatch.setattr(scan._Tail, "losses", lambda *_: pytest.fail("scanned again"))
    assert main([*RUN[:2], "sparsegpt@0.7,allocation=sensitivity", *RUN[3:]]) == 0
    with pytest.raises(pytest.fail.Exception):
        main([*RUN[:2], "sparsegpt@0.6,allocation=sensitivity", *RUN[3:]])


@pytest.fixture
def documents(machine, tmp_path, monkeypatch):
    write(tmp_path / "data" / PIQA_FILE, PIQA[:9])
    monkeypatch.setenv("SLIMSCOPE_DATA", str(tmp_path / "data"))


def test_each_prompt_is_scored_once_on_the_variant_and_on_dense(documents, capsys, monkeypatch):
    asked = ["--fewshot", "0", "--fewshot", "2,selector=nearest"]
    assert main([*TASKS, *asked]) == 0
    assert ":4 2-shot (selector=nearest)" in " ".join(capsys.readouterr().out.split())
    for result in Store().results():
        rows = [row for row in result.measurements if row.metric == "acc"]
        assert [row.protocol["fewshot"] for row in rows] == [0, "2,selector=nearest"]
        kept = Store().samples(result.variant.key, rows[1])
        assert [len(shots) for shots in kept["shots"]] == [2] * 4
        assert "shots" not in Store().samples(result.variant.key, rows[0])
    monkeypatch.setattr(DenseModel, "embed", lambda *_: pytest.fail("asked again"))
    monkeypatch.setattr("core.evaluation.zeroshot.evaluate", lambda *_: pytest.fail("scored again"))
    assert main([*TASKS, *asked, "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["measurements"]
    assert {row["protocol"].get("fewshot") for row in written} == {None, 0, "2,selector=nearest"}


@pytest.mark.parametrize(("fewshot", "words"), [("6", "the requested 6"), ("1,template=chat", "no chat template")])
def test_prompts_that_the_documents_or_the_tokenizer_lack_are_refused(fewshot, words, documents, capsys):
    assert main([*TASKS, "--fewshot", fewshot]) != 0
    assert words in " ".join(capsys.readouterr().err.split())
