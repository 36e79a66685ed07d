"""Layer sensitivity on the command line."""

import pytest

from core.cli.app import main
from core.engine import execute, sensitivity
from core.request.reproduce import reproduce
from core.store.store import Store

pytestmark = pytest.mark.usefixtures("machine")
RUN = ["run", "./tiny", "sparsegpt@0.7", "--calibration", "text.txt:8x32", "--perplexity", "text.txt@32:2"]


def rows():
    (result,) = [result for result in Store().results() if result.variant.method == "sparsegpt"]
    return result, [row for row in result.measurements if row.metric == "sensitivity"]


def test_each_block_is_measured_once_and_printed(capsys, monkeypatch):
    assert main([*RUN, "--sensitivity", "block"]) == 0
    assert "Most sensitive of 2 blocks" in " ".join(capsys.readouterr().out.split())
    result, found = rows()
    assert [row.protocol["part"] for row in found] == ["model.layers.0", "model.layers.1"]
    for row in found:
        assert (row.n, row.protocol["windows"], row.protocol["window"]) == (2, 8, 32)
        assert row.dataset == result.variant.stages[0].calibration.corpus and row.stderr > 0
    assert reproduce(result).endswith("--sensitivity=block")
    monkeypatch.setattr(sensitivity, "measure_sensitivity", lambda *_: pytest.fail("scanned again"))
    assert main([*RUN, "--sensitivity", "block"]) == 0
    assert main([*RUN, "--json"]) == 0  # its results are stored, and no other part is requested


def test_linears_are_scanned_like_blocks():
    assert main([*RUN, "--sensitivity", "block"]) == main([*RUN, "--sensitivity", "linear"]) == 0
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


def test_an_allocation_by_sensitivity_uses_the_stored_scan(monkeypatch):
    assert main([*RUN, "--sensitivity", "block"]) == 0
    from core.engine import scan

    monkeypatch.setattr(scan._Tail, "losses", lambda *_: pytest.fail("scanned again"))
    assert main([*RUN[:2], "sparsegpt@0.7,allocation=sensitivity", *RUN[3:]]) == 0
    with pytest.raises(pytest.fail.Exception):
        main([*RUN[:2], "sparsegpt@0.6,allocation=sensitivity", *RUN[3:]])


@pytest.mark.parametrize(
    ("chain", "calibration", "sentence"),
    [
        ("dense", "text.txt:8x32", "dense cannot be scanned by block"),
        ("wanda@0.5+adaprune", "text.txt:8x32", "cannot be scanned by block"),
        ("wanda@0.5,allocation=global+lora", "text.txt:8x32", "cannot be scanned by block"),
        ("magnitude@0.5", "text.txt:1x32", "has one sequence"),
        ("flap@0.5", "text.txt:8x32", "cannot be scanned by block"),
    ],
)
def test_unscannable_variants_are_rejected_before_the_run(chain, calibration, sentence, capsys):
    words = ["run", "./tiny", chain, "--calibration", calibration, "--sensitivity", "block"]
    assert main([*words, *(["--train", "text.txt:24x32"] if "lora" in chain else [])]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
