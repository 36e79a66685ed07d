"""A variant is its stages, what is computed of them is in its JSON only, and a stored number answers some wishes."""

import json
import math

import pytest
from pydantic import ValidationError

from core.protocols import perplexity_protocol, satisfies
from core.results import COMPUTED, Measurement, Result, Variant
from core.specs import Perplexity, Stage, TextWindows
from tests.core.factories import KEY, LAYER, WANDA, make, perplexity, trained

TEXT, EXAMPLES = TextWindows.parse("c4-sample:16x2048"), TextWindows.parse("alpaca:64x256")
DENSE, MAGNITUDE = Stage(method="dense"), Stage(method="magnitude", ratio=0.5, pattern="2:4", layers="0:3")
LORA = Stage(method="lora", calibration=EXAMPLES, seed=3)
SPARSEGPT = Stage(method="sparsegpt", ratio=0.7, calibration=TEXT, seed=1)
SVD = Stage(method="svd", ratio=0.0, ratio_kind="parameters")


def of(*stages, made=()):
    return Variant(key=KEY, model="m", revision="r", dtype="float32", stages=stages, stage_runs=made)


@pytest.mark.parametrize(
    ("stages", "method", "recovery", "asked"),
    [
        ([DENSE], "dense", None, (None, "sparsity", None, None)),
        ([MAGNITUDE], "magnitude", None, (0.5, "sparsity", "2:4", "0:3")),
        ([SPARSEGPT], "sparsegpt", None, (0.7, "sparsity", None, None)),
        ([SVD], "svd", None, (0.0, "parameters", None, None)),
        ([LORA], "dense", "lora", (None, "sparsity", None, None)),
        ([MAGNITUDE, LORA], "magnitude", "lora", (0.5, "sparsity", "2:4", "0:3")),
        ([MAGNITUDE, SPARSEGPT], "magnitude", None, (0.7, "sparsity", None, None)),
        ([SPARSEGPT, LORA, SVD], "sparsegpt", "lora", (0.0, "parameters", None, None)),
        ([LORA, SPARSEGPT], "sparsegpt", "lora", (0.7, "sparsity", None, None)),
    ],
)
def test_method_recovery_and_amount_follow_from_the_stages(stages, method, recovery, asked):
    variant = of(*stages)
    assert (variant.method, variant.recovery) == (method, recovery)
    assert (variant.ratio, variant.ratio_kind, variant.pattern, variant.layers) == asked


def test_json_contains_derived_fields_and_reading_ignores_them():
    variant = of(SPARSEGPT, LORA, made=({"seconds": 2.0}, {"seconds": 3.0}))
    written = json.loads(variant.model_dump_json())
    assert set(written) == {"key", "model", "revision", "dtype", "stages", "made", *COMPUTED}
    assert (written["method"], written["recovery"], written["ratio"]) == ("sparsegpt", "lora", 0.7)
    assert written["details"] == {"seconds": 3.0}
    assert [(stage["name"], stage["text"]) for stage in written["stages"]] == [
        ("sparsegpt", "c4-sample:16x2048"),
        ("lora", "alpaca:64x256"),
    ]
    written["method"], written["stages"][0]["text"] = "another", None
    assert Variant.model_validate_json(json.dumps(written)) == variant
    assert Variant.model_validate(variant.model_dump()) == variant
    assert "name" not in SPARSEGPT.model_dump()  # so that it does not enter a key


@pytest.mark.parametrize("stages", [[], 3, [3], [{"method": "wanda", "colour": "red"}]])
def test_a_damaged_variant_is_rejected(stages):
    with pytest.raises(ValidationError):
        Variant(key=KEY, model="m", revision="r", dtype="float32", stages=stages)


def test_diverged_losses_survive():
    result = make(made=(trained(losses=[[1, math.inf], [2, math.nan]]),))
    (first, second) = Result.model_validate_json(result.model_dump_json()).variant.details["training"]["losses"]
    assert first == [1, math.inf] and math.isnan(second[1])


def test_a_cancelled_training_marks_the_variant_incomplete():
    assert not of(WANDA, LORA).cut_short
    assert not of(WANDA, LORA, made=({}, trained(ended="budget"))).cut_short
    assert of(WANDA, LORA, made=({}, trained(ended="cancelled"))).cut_short
    assert of(WANDA, LORA, SVD, made=({}, trained(ended="cancelled"), {})).cut_short


def test_last_training_is_described_with_its_stage():
    assert of(WANDA, made=({"seconds": 1.0},)).training is None
    later = LORA.model_copy(update={"seed": 4})
    stage, training = of(LORA, later, SVD, made=(trained(steps=1), trained(steps=2), {})).training
    assert (stage, training["steps"]) == (later, 2)


def test_layers_of_the_last_stage_with_layers_are_shown():
    assert make().last_layers == ()
    again = LAYER.model_copy(update={"stage": 2})
    assert make(layers=(LAYER, again)).last_layers == (again,)


FIRST, SPREAD = Perplexity.parse("wikitext2@2048:16"), Perplexity.parse("wikitext2@2048:16:spread")


def test_first_and_spread_windows_do_not_satisfy_each_other():
    for stored in (FIRST, SPREAD):
        row = perplexity(20.0).model_copy(update={"protocol": perplexity_protocol(stored, "float32")})
        assert [satisfies(row, wanted, "float32") for wanted in (FIRST, SPREAD)] == [stored == FIRST, stored == SPREAD]


def test_protocol_of_first_windows_is_stable():
    assert perplexity_protocol(FIRST, "float32") == {"window": 2048, "windows": 16, "dtype": "float32"}


@pytest.mark.parametrize("protocol", [{"windows": None, "spread": True}, {"windows": 16, "spread": "yes"}])
def test_an_invalid_spread_is_rejected(protocol):
    with pytest.raises(ValidationError, match=r"protocol\.spread"):
        Measurement(metric="perplexity", dataset="a", value=2.0, n=16, protocol={"window": 128} | protocol)
