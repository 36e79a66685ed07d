"""Layer sensitivity, tasks with few-shot examples, and the comparison with the dense model on the command line."""

import json
import re

import pandas
import pytest

from core import api
from core.cli.app import main
from core.engine import execute, scan
from core.engine.fidelity import compare
from core.evaluation.fewshot.dense import DenseModel
from core.findings.numbers.differences import tidy_with_differences
from core.findings.numbers.paired import distance_interval
from core.metrics import FIDELITY
from core.models.sources import identify, load_model, load_tokenizer
from core.request.reproduce import reproduce
from core.specs import Perplexity
from core.store.store import Store
from tests.core.data.task_rows import PIQA, PIQA_FILE, write
from tests.core.evaluation.test_divergence import changed

pytestmark = pytest.mark.usefixtures("machine")
RUN = ["run", "./tiny", "sparsegpt@0.7", "--calibration", "text.txt:8x32", "--perplexity", "text.txt@32:2"]
TASKS = ["run", "./tiny", "magnitude@0.5", "--perplexity", "text.txt@32:2", "--tasks", "piqa:4"]


@pytest.fixture
def scanned(after):
    """`machine` after the scan of each block."""
    after([*RUN, "--sensitivity", "block"])


def rows():
    (result,) = [result for result in Store().results() if result.variant.method == "sparsegpt"]
    return result, [row for row in result.measurements if row.metric == "sensitivity"]


def test_each_block_is_measured_once_and_printed(scanned, output_of, monkeypatch):
    result, found = rows()
    assert [row.protocol["part"] for row in found] == ["model.layers.0", "model.layers.1"]
    for row in found:
        assert (row.n, row.protocol["windows"], row.protocol["window"]) == (2, 8, 32)
        assert row.dataset == result.variant.stages[0].calibration.corpus and row.stderr > 0
    assert reproduce(result).endswith("--sensitivity=block")
    monkeypatch.setattr(execute, "measure_sensitivity", lambda *_: pytest.fail("scanned again"))
    assert "Most sensitive of 2 blocks" in " ".join(output_of(*RUN, "--sensitivity", "block").split())
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


def test_each_prompt_is_scored_once_on_the_variant_and_on_dense(documents, output_of, monkeypatch):
    asked = ["--fewshot", "0", "--fewshot", "2,selector=nearest"]
    assert ":4 2-shot (selector=nearest)" in " ".join(output_of(*TASKS, *asked).split())
    for result in Store().results():
        rows = [row for row in result.measurements if row.metric == "acc"]
        assert [row.protocol["fewshot"] for row in rows] == [0, "2,selector=nearest"]
        kept = Store().samples(result.variant.key, rows[1])
        assert [len(shots) for shots in kept["shots"]] == [2] * 4
        assert "shots" not in Store().samples(result.variant.key, rows[0])
    monkeypatch.setattr(DenseModel, "embed", lambda *_: pytest.fail("asked again"))
    monkeypatch.setattr("core.evaluation.zeroshot.evaluate", lambda *_: pytest.fail("scored again"))
    written = output_of(*TASKS, *asked, "--json")["measurements"]
    assert {row["protocol"].get("fewshot") for row in written} == {None, 0, "2,selector=nearest"}


@pytest.mark.parametrize(("fewshot", "words"), [("6", "the requested 6"), ("1,template=chat", "no chat template")])
def test_prompts_that_the_documents_or_the_tokenizer_lack_are_refused(fewshot, words, documents, capsys):
    assert main([*TASKS, "--fewshot", fewshot]) != 0
    assert words in " ".join(capsys.readouterr().err.split())


ROUNDED = ["run", "./tiny", "rtn@3bit,group_size=0", "--perplexity", "text.txt@24:4"]


def rows_of(key):
    return {row.metric: row for row in Store().stored(key).measurements}


@pytest.fixture
def rounded(output_of):
    return output_of(*ROUNDED, "--fidelity", "--json")["variant"]["key"]


def test_a_stored_perplexity_gets_its_comparison_later_and_once(output_of, capsys, monkeypatch):
    before = output_of(*ROUNDED, "--json")
    assert [row["metric"] for row in before["measurements"]] == ["perplexity"]
    assert main([*ROUNDED, "--fidelity"]) == 0
    rows = rows_of(before["variant"]["key"])
    assert set(rows) == {"perplexity", *FIDELITY}
    assert rows["perplexity"].value == before["measurements"][0]["value"]
    capsys.readouterr()
    monkeypatch.setattr(execute, "perplexity", lambda *_: pytest.fail("computed"))
    shown = output_of(*ROUNDED, "--fidelity")
    assert "kl" in shown and "agreement" in shown and "--fidelity" in shown
    assert "3 other numbers of this variant are stored" in output_of(*ROUNDED)


def test_lists_have_the_differences_and_intervals_of_distances(rounded, output_of):
    finer = output_of("run", "./tiny", "rtn@6bit,group_size=0", *ROUNDED[3:], "--fidelity", "--json")["variant"]["key"]
    first, second = (rows_of(key) for key in (rounded, finer))
    found = {row["metric"]: row for row in output_of("compare", rounded, finer, "--json")}
    assert set(found) == {"perplexity", "kl", "agreement"}
    for metric in ("kl", "agreement"):
        row = found[metric]
        assert row["difference"] == pytest.approx(second[metric].value - first[metric].value)
        assert row["low"] <= row["difference"] <= row["high"]
    assert " nats" in output_of("compare", rounded, finer)
    table = tidy_with_differences(Store().results(), Store().samples)
    table = table[table["key"] == rounded].set_index("metric")
    row, stored = table.loc["kl"], first["kl"]
    assert row["difference"] == pytest.approx(stored.value) and pandas.isna(row["unpaired_reason"])
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(distance_interval(stored))
    assert table.loc["agreement", "difference"] == pytest.approx(first["agreement"].value - 1)
    assert pandas.isna(row["verdict"])


@pytest.mark.parametrize("option", ["--json", "--csv", "--tsv", "--latex", None])
def test_any_model_is_compared_and_printed_in_each_format(option, tmp_path, capsys):
    changed(load_model(identify("./tiny")), 0.5).save_pretrained(tmp_path / "other")
    load_tokenizer(identify("./tiny")).save_pretrained(tmp_path / "other")
    models = "./tiny", str(tmp_path / "other")
    assert main(["fidelity", *models, "--perplexity", "text.txt@24:4", *filter(None, [option])]) == 0
    out, err = capsys.readouterr()
    (found,) = compare(*models, [Perplexity.parse("text.txt@24:4")])
    if option == "--json":
        assert json.loads(out) == found.records == api.fidelity(*models, perplexity="text.txt@24:4").to_dict("records")
    if option is None:
        assert f"{found.models[1]} compared with {found.models[0]}, in float32" in out and "fewer than 8 windows" in err
    lines = out.replace("\\_", "_").splitlines()
    for name, value, *_ in found.numbers if option != "--json" else ():
        (line,) = (one for one in lines if re.search(rf"(^|,|\t){re.escape(name)}( *&|,|\t|  )", one))
        assert (repr(value) if option == "--csv" else f"{value:.4f}"[:3]) in line
