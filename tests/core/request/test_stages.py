"""From a stored variant back to what makes it."""

import pytest

from core.amount import Amount, Pattern, Ratio
from core.base.errors import UserError
from core.request.stages import build_stage, check_stage_order, pattern_ratio, variant_spec
from core.specs import Stage, TextWindows
from tests.core.factories import make

CALIBRATION = TextWindows.parse("c4-sample:16x2048")


def test_a_chain_is_reproduced_with_the_same_stages():
    stages = (
        build_stage("magnitude", Ratio(0.5)),
        build_stage("wanda", Ratio(0.7), calibration=CALIBRATION, seed=3, layers="0:3"),
        build_stage("rtn", Amount.parse("3bit")),
        build_stage("lora", settings={"rank": 4}, calibration=CALIBRATION),
    )
    spec = variant_spec(make(stages=stages, dtype="bfloat16").variant)
    assert spec.stages == stages and (spec.model, spec.revision, spec.dtype) == ("m", "r", "bfloat16")


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Stage(method="wand", ratio=0.5), "uses 'wand', which this version lacks"),
        (Stage(method="slimllm", version=1, ratio=0.5), "version 1 of SlimLLM, but the current version is 2"),
        (Stage(method="wanda", version=0, ratio=0.5), "uses version 0 of Wanda, but the current version is 1"),
        (Stage(method="wanda", ratio=0.5, parameters={"colour": "red"}), "Wanda has no parameter 'colour'"),
        (Stage(method="magnitude", ratio=1.0), "Ratio 1.0 is outside"),
        (build_stage("rtn", Amount.parse("3bit")).model_copy(update={"ratio": 0.5}), "RTN takes no ratio"),
    ],
)
def test_changed_stages_are_rejected_with_the_reason(stage, message):
    with pytest.raises(UserError, match=message):
        variant_spec(make(stages=(build_stage("magnitude", Ratio(0.5)), stage)).variant)


def test_unused_calibration_data_and_seed_are_not_in_the_key():
    settings = {"granularity": "layer"}
    bare = build_stage("llm-pruner", Ratio(0.5), settings=settings)
    assert bare == build_stage("llm-pruner", Ratio(0.5), settings=settings, calibration=CALIBRATION, seed=7)
    assert (bare.calibration, bare.seed) == (None, None)
    with pytest.raises(UserError, match="needs calibration data"):
        build_stage("llm-pruner", Ratio(0.5))


def chain(*stages):
    """Return the stages of such as `wanda@0.5`, `sparsegpt@2:4`, `llm-pruner@0.5@granularity=layer`, `lora`."""
    made = []
    for text in stages:
        method, amount, *settings = [*text.split("@"), ""][: 1 + max(1, text.count("@"))]
        given = dict(one.split("=") for one in settings if one)
        layers = given.pop("layers", None)
        share = Amount.parse(amount) if amount else None
        made.append(build_stage(method, share, given, CALIBRATION, layers=layers, before=tuple(made)))
    return tuple(made)


@pytest.mark.parametrize(
    "stages",
    [
        ("magnitude@0.3", "lora", "wanda@0.5", "sparsegpt@0.6"),
        ("wanda@0.3", "flap@0.5"),
        ("wanda@0.3", "magnitude-trained@0.5", "loraprune-trained@0.6"),
        ("wanda@0.3", "sparsegpt@2:4", "lora"),
        ("sparsegpt@2:4", "shortgpt@0.6"),
        ("flap@0.3", "svd@0.5", "wanda@0.6"),
        ("svd@0.3", "sparsegpt@2:4"),
        ("slicegpt@0.3", "flap@0.4", "wanda@0.5"),
        ("magnitude@0", "svd@0.3"),
        ("magnitude@0.5@layers=0:3", "magnitude@0.3@layers=4:7"),
        ("wanda@0.5", "wanda@0.5"),
        ("slimllm@0.2", "tensor-train@2x", "gptq@4bit", "lora"),
        ("tensor-train@4x", "wanda@0.3"),  # shares of other weights
        ("rotate", "tensor-train@2x"),
        ("rotate", "gptq@4bit"),
        ("rotate", "magnitude@0.5"),
        ("magnitude@0.5", "rtn@4bit", "lora"),
        ("sparsegpt@0.5", "rtn@4bit"),
        ("rtn@4bit", "shortgpt@0.2", "rtn@8bit@on=embedding", "lora"),
        ("rtn@8bit@on=embedding", "magnitude@0.5", "rtn@4bit"),
    ],
    ids=", ".join,
)
def test_compatible_stage_orders_are_accepted(stages):
    check_stage_order(chain(*stages))


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (("wanda@0.5", "svd@0.6"), "SVD would not preserve the zeros of Wanda; put SVD first or remove it."),
        (("wanda@0.5", "lora", "lorap@0.6"), "LoRAP would not preserve the zeros of Wanda"),
        (("sparsegpt@2:4", "wanda@0.6"), "Wanda would not preserve the 2:4 sparsity of SparseGPT"),
        (("sparsegpt@2:4", "wanda@1:4"), "Wanda would not preserve the 2:4 sparsity of SparseGPT"),
        (("sparsegpt@2:4", "shortgpt@0.6", "flap@0.7"), "FLAP would not preserve the 2:4 sparsity of SparseGPT"),
        (("svd@0.3", "svd-llm@0.5"), "SVD-LLM needs whole matrices, which SVD factored"),
        (("slicegpt@0.3", "svd@0.5"), "SVD cannot factor the shortcut matrices that SliceGPT inserted"),
        (("slicegpt@0.3", "shortgpt@0.5"), "needs the same hidden basis in every block, and SliceGPT"),
        (("wanda@0.5", "lora", "wanda@0.3"), "wanda@0.3 is less than the 50 % that earlier stages removed"),
        (("wanda@0.7", "sparsegpt@2:4"), "sparsegpt@2:4 is less than the 70 % that earlier stages removed"),
        (("flap@0.5", "wanda@0.3"), "wanda@0.3 is less than the 50 %"),
        (("tensor-train@2x", "rtn@8bit@on=embedding"), "RTN needs a whole embedding, which Tensor train factored"),
        (("tensor-train@2x", "embedding-lowrank@3x"), "Low-rank embedding needs a whole embedding"),
        (("embedding-lowrank@2x", "slicegpt@0.3"), "SliceGPT needs a whole embedding, which Low-rank"),
        (("tensor-train@2x", "rotate"), "Rotate would mix the weights that Tensor train compressed"),
        (("rtn@8bit@on=embedding", "tensor-train@2x"), "Tensor train would undo the quantisation by RTN"),
        (("rtn@8bit@on=embedding", "rtn@4bit@on=embedding"), "RTN would undo the quantisation by RTN"),
        (("rtn@8bit@on=embedding", "slicegpt@0.2"), "SliceGPT would undo the quantisation by RTN"),
        (("rtn@4bit", "magnitude@0.5"), "Magnitude would undo the quantisation by RTN"),
        (("rtn@4bit", "magnitude-trained@0.5"), "would undo the quantisation by RTN"),
        (("rtn@4bit", "rtn@8bit@on=embedding", "rtn@4bit"), "RTN would undo the quantisation by RTN"),
        (("rtn@4bit", "rotate"), "Rotate would undo the quantisation"),
        (("sparsegpt@0.5@bits=4", "rtn@4bit"), "RTN would undo the quantisation by SparseGPT"),
        (("magnitude@0.5", "hqq@4bit"), "HQQ has no code for the zeros of Magnitude"),
        (("magnitude@0.5", "rotate"), "Rotate would mix the weights that Magnitude compressed; put Rotate first"),
        (("rotate", "slicegpt@0.2"), "SliceGPT cannot cut the rotated hidden states of Rotate"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, tuple) else "",
)
def test_orders_that_undo_an_earlier_stage_are_rejected(stages, message):
    with pytest.raises(UserError, match=message):
        check_stage_order(chain(*stages))


@pytest.mark.parametrize(
    ("before", "pattern", "ratio"),
    [
        ((), "1:3", 1 - 1 / 3),
        (("magnitude@0.3", "lora"), "2:4", 0.5),  # zeros are among those of the pattern
        (("flap@0.2",), "2:4", 0.6),
        (("flap@0.2", "slimllm@0.5"), "1:4", 0.875),
        (("magnitude@0.2", "flap@0.4"), "2:4", 0.625),  # a quarter of what was there went, zeros and all
        (("flap@0.2", "magnitude@0.5"), "2:4", 0.6),
    ],
)
def test_a_pattern_adds_to_the_removed_share(before, pattern, ratio):
    stages = chain(*before)
    assert pattern_ratio(stages, Pattern.parse(pattern)) == pytest.approx(ratio, abs=1e-6)
    whole = chain(*before, f"wanda@{pattern}")
    assert whole[-1].ratio == pattern_ratio(stages, Pattern.parse(pattern))
    assert variant_spec(make(stages=whole).variant).stages == whole
    other = whole[-1].model_copy(update={"ratio": ratio - 0.1})
    with pytest.raises(UserError, match=f"{pattern} has a ratio of"):
        variant_spec(make(stages=(*stages, other)).variant)
