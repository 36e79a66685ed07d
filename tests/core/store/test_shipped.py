"""Results that come with the project: merging, damage, and the papers' tables."""

import os

import pytest

from core.base import paths
from core.base.errors import UserError
from core.store import bundled
from core.store.bundled import append_shipped, published, read_measured
from core.store.store import Store
from tests.core.factories import KEY, LAYER, OTHER, make, perplexity


def values(result):
    return {(m.dataset, m.protocol["window"]): m.value for m in result.measurements}


def test_lines_of_one_key_are_merged_and_the_last_wins(bundled_folder):
    append_shipped(make(perplexity(20.0), perplexity(30.0, window=128), layers=(LAYER,)), bundled_folder / "a.jsonl")
    append_shipped(make(perplexity(5.0), key=OTHER), bundled_folder / "a.jsonl")
    append_shipped(make(perplexity(21.0), zeros=60), bundled_folder / "b.jsonl")
    found, warnings = read_measured()
    assert list(found) == [KEY, OTHER]
    assert values(found[KEY]) == {("wikitext2", 2048): 21.0, ("wikitext2", 128): 30.0}
    assert found[KEY].footprint.block_zeros == 60
    assert found[KEY].layers == (LAYER,)
    assert warnings == ()


def test_damage_is_named_and_loses_no_other_lines(bundled_folder, caplog):
    bundled_folder.mkdir()
    good = make(perplexity(20.0)).model_dump_json()
    later = good.replace('"schema_version":2', r'"schema_version":"\ud800"')  # half of a surrogate pair
    wrong = good.replace('"block_weights":100', '"block_weights":"many"')
    lines = [b"{half a li", b"\xff\xfe", later.encode(), wrong.encode(), b"[1, 2]", b"", good.encode()]
    (bundled_folder / "a.jsonl").write_bytes(b"\n".join(lines))
    (bundled_folder / "b.jsonl").mkdir()  # cannot be read, also by root
    append_shipped(make(perplexity(5.0), key=OTHER), bundled_folder / "c.jsonl")
    found, warnings = read_measured()
    assert list(found) == [KEY, OTHER]
    assert values(found[KEY]) == {("wikitext2", 2048): 20.0}
    expected = ["a.jsonl, line 1 ", "a.jsonl, line 2 ", "a.jsonl, line 3 ", "a.jsonl, line 4 ", "a.jsonl, line 5 "]
    expected.append("b.jsonl ")
    assert len(warnings) == len(expected)
    assert all(warning.startswith(start) for warning, start in zip(warnings, expected, strict=True))
    assert r"schema version is '\ud800'" in warnings[2]
    assert "footprint.block_weights" in warnings[3]
    assert [record.getMessage() for record in caplog.records] == list(warnings)
    assert Store().read().warnings == warnings
    assert len(Store().results()) == 2


def test_a_truncated_line_does_not_damage_the_next(bundled_folder):
    file = bundled_folder / "a.jsonl"
    append_shipped(make(perplexity(20.0)), file)
    file.write_bytes(file.read_bytes() + b'{"schema_version":2,"vari')
    append_shipped(make(perplexity(5.0), key=OTHER), file)
    found, warnings = read_measured()
    assert list(found) == [KEY, OTHER]
    assert len(warnings) == 1


def test_files_are_read_again_only_after_a_change(bundled_folder):
    assert read_measured() == ({}, ()) and Store().read().warnings == ()  # there is no folder yet
    append_shipped(make(perplexity(20.0)), bundled_folder / "a.jsonl")
    first = read_measured()
    assert read_measured() is first
    append_shipped(make(perplexity(21.0)), bundled_folder / "a.jsonl")
    assert values(read_measured().results[KEY]) == {("wikitext2", 2048): 21.0}
    os.remove(bundled_folder / "a.jsonl")
    assert read_measured() == ({}, ())
    (bundled_folder / "file").touch()
    with pytest.raises(UserError, match=r"^The result cannot be written to .*\.$"):
        append_shipped(make(), bundled_folder / "file" / "x.jsonl")


def test_published_tables_are_read_completely():
    frame = published()
    assert frame.attrs["warnings"] == []
    assert list(frame.columns) == list(bundled.PUBLISHED_COLUMNS)
    assert len(frame) == 385
    row = frame.query("model == 'OPT-125M' and method == 'SparseGPT' and dataset == 'wikitext2'").squeeze()
    assert (row.value, row.ratio, row.window) == (36.85, 0.5, 2048)
    # Perplexities of the two papers never share a protocol.
    windows = frame[frame.metric == "perplexity"].groupby("paper").window.unique()
    assert {paper: list(found) for paper, found in windows.items()} == {"SparseGPT": [2048.0], "SlimLLM": [128.0]}
    accuracies = frame.query("paper == 'SlimLLM' and metric == 'accuracy'").groupby("measure").dataset.unique()
    assert set(accuracies["acc_norm"]) == {"hellaswag", "arc_challenge", "openbookqa"}
    assert set(accuracies["acc"]) == {"boolq", "piqa", "winogrande", "arc_easy"}
    assert frame.url.str.startswith("https://arxiv.org/abs/").all()


def test_means_of_seven_match_the_paper():
    rows = published().query("paper == 'SlimLLM' and model == 'LLaMA-7B' and metric == 'accuracy'")
    means = rows.groupby(["method", "tuned", "ratio"]).value.mean()
    assert means["Dense", False, 0.0] == pytest.approx(63.25, abs=0.006)
    assert means["SlimLLM", False, 0.5] == pytest.approx(50.10, abs=0.006)
    assert means["LoRAP", True, 0.2] == pytest.approx(61.70, abs=0.01)


def test_a_damaged_published_row_is_named_and_skipped(tmp_path):
    lines = (paths.SHIPPED_PUBLISHED / "results.csv").read_text().splitlines()
    lines[1] = lines[1].replace("27.66", "about 28")
    lines[2] = "SparseGPT,2301.00774"
    (tmp_path / "results.csv").write_text("\n".join(lines))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    frame = published(tmp_path)
    assert len(frame) == 383
    starts = [warning.split(" is skipped")[0] for warning in frame.attrs["warnings"]]
    assert starts == ["other.csv, line 2", "results.csv, line 2", "results.csv, line 3"]
