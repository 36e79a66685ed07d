"""Chain text: parsing and formatting are inverse, and invalid text gives an error."""

from urllib.parse import parse_qs, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as draw

from core.amount import Ratio
from core.base.errors import ChainError, UserError
from core.notation.chain import ChainDefaults, common_defaults, file_name, format_chain, parse, quoted, series_chain
from core.registry import STAGES
from core.request.resolve import resolve_chain, resolve_stage
from core.request.stages import build_stage
from core.specs import Stage, TextWindows
from tests.core.notation.drawn import ODD, stages

TEXT, LESSON = TextWindows.parse("c4-sample:16x2048"), TextWindows.parse("c4-sample:512x256")
BESIDE = ChainDefaults(TEXT, LESSON, 0)


@given(stages())
def test_a_formatted_stage_parses_to_the_same_stage(stage):
    (one,) = parse(format_chain([stage]))
    assert resolve_stage(one, common_defaults([stage])) == stage


@given(draw.lists(stages(), min_size=2, max_size=4))
def test_every_stage_of_a_chain_survives_formatting(chain):
    common = common_defaults(chain)
    for stage, one in zip(chain, parse(format_chain(chain)), strict=True):
        assert resolve_stage(one, common) == stage


@given(draw.text())
def test_any_text_is_a_chain_or_gives_a_sentence(text):
    try:
        parse(text)
    except UserError as error:
        assert ", character " in str(error)


@given(ODD)
def test_any_value_can_be_quoted(value):
    (one,) = parse(f"magnitude@0.5,layers={quoted(value)}")
    assert one.layers == value


def test_common_settings_are_shared_and_others_inline():
    stages = [build_stage("wanda", Ratio(0.3), calibration=TEXT), build_stage("wanda", Ratio(0.5), calibration=TEXT)]
    lora = build_stage("lora", calibration=LESSON)
    assert (format_chain([*stages, lora]), common_defaults([*stages, lora])) == ("wanda@0.3+wanda@0.5+lora", BESIDE)
    other = build_stage("wanda", Ratio(0.5), calibration=TextWindows.parse("c4-sample:8x2048"), seed=3)
    assert format_chain([stages[0], other, lora]) == (
        "wanda@0.3,text=c4-sample:16x2048,seed=0+wanda@0.5,text=c4-sample:8x2048,seed=3+lora,seed=0"
    )
    assert common_defaults([stages[0], other, lora]) == ChainDefaults(None, LESSON, None)
    assert common_defaults([build_stage("magnitude", Ratio(0.5))]) == ChainDefaults()


def test_a_series_omits_the_last_amount_and_a_chain_the_dense_model_before_a_training():
    def of(chain):
        return series_chain(resolve_chain(parse(chain), BESIDE))

    assert of("wanda@0.5+lora") == of("wanda@2:4+lora") == "wanda@+lora"
    assert of("magnitude@0.2+lora+wanda@0.5,layers=0:3") == "magnitude@0.2+lora+wanda@,layers=0:3"
    assert (of("lora"), of("dense")) == ("lora", "dense")
    dense, lora = Stage(method="dense"), build_stage("lora", calibration=TEXT)
    assert (format_chain([dense, lora]), format_chain([dense])) == ("lora", "dense")


def test_links_and_file_names_contain_the_chain():
    chain = 'wanda@2:4,layers="mlp.+"+lora,minutes=5'
    assert parse_qs(urlencode({"chain": chain}, quote_via=quote))["chain"] == [chain]
    assert file_name(resolve_chain(parse(chain), BESIDE)) == "wanda@2of4,layers=-mlp.+-+lora,minutes=5"


@pytest.mark.parametrize("text", ["wanda@0.5 lora", " wanda@0.50 + lora ", "wanda@.5 +lora"])
def test_a_plus_decoded_as_a_space_is_parsed(text):
    assert format_chain(resolve_chain(parse(text), BESIDE)) == "wanda@0.5+lora"


BAD = {
    "wanda 0.5": "character 7: 0.5 is an amount, not a stage; write it after its stage and an @, as in wanda@0.5.",
    "magnitude@0.5+lorra": "character 15: Unknown stage 'lorra'; did you mean 'lora'?",
    "wanda@4bit": "character 7: '4bit' is not an amount of wanda; give a ratio such as 0.5 or N:M such as 2:4",
    "svd@2x": "character 5: '2x' is not an amount of svd; give a ratio such as 0.5.",
    "tensor-train@0.5": "character 14: '0.5' is not an amount of tensor-train; give a factor above 1, such as 2x",
    "tensor-train@1x": "character 14: '1x' is not an amount of tensor-train; give a factor above 1",
    "embedding-lowrank@2.0x": "character 19: '2.0x' is not an amount of embedding-lowrank",
    "svd@2:4": "character 5: SVD does not support N:M sparsity",
    "wanda@4:2": "character 7: '4:2' is not N:M",
    "wanda@1.5": "character 7: Ratio 1.5 is outside",
    "lora@0.5": "character 6: lora removes nothing, so it takes no amount",
    "wanda@": "character 7: The amount of wanda is open",
    "tensor-train@2x,shape=wide": "character 17: Tensor train: shape = 'wide' does not fit: give at least two sizes",
    "tensor-train@": "character 14: The amount of tensor-train is open; give one, such as tensor-train@2x.",
    "slimllm@0.2+tensor-train": "character 13: Tensor train takes no ratio; give a factor, such as tensor-train@2x.",
    "magnitude@+wanda@": "character 18: A chain can leave only one amount open",
    "wanda@0.5+magnitude": "character 11: magnitude follows another removing stage and needs a total ratio",
    "wanda@0.5,damp=1": "character 11: Wanda has no parameter 'damp'; its parameters are",
    "sparsegpt@0.5,damping=x": "character 15: SparseGPT: damping = 'x' does not fit",
    "sparsegpt@0.5,damping=1,damping=2": "character 25: Parameter damping is given twice",
    "wanda@0.5,scope": "character 11: Expected a parameter NAME=VALUE",
    "wanda@0.5+": "character 11: A stage is missing here",
    "+wanda@0.5": "character 1: A stage is missing here",
    "": "character 1: A stage is missing here",
    "wanda@0.5@0.6": "character 10: Unexpected '@'; expected + or ,name=value.",
    'wanda@0.5,layers="mlp': "character 18: This double quote is never closed",
    "dense+lora": "character 1: Dense is the uncompressed model",
    "wanda@0.5,text=c4": "character 11: Data 'c4' is not CORPUS:NxL",
    "magnitude@0.5,text=c4:1x2": "character 15: Magnitude uses no data and no randomness; remove text",
    "magnitude@0.5,seed=1": "character 15: Magnitude uses no data and no randomness; remove seed",
    "wanda@0.5,seed=x": "character 11: Seed 'x' is not a whole number",
    "adaprune": "character 1: AdaPrune re-solves the kept weights",
    "slimllm@0.2+adaprune": "character 13: AdaPrune re-solves the kept weights",
    "wanda@0.3+svd@0.5": "character 11: SVD would not preserve the zeros of Wanda",
    "flap@0.2,layers=0:3": "character 10: FLAP compresses the whole model; leave out `layers`",
}


@pytest.mark.parametrize("chain", BAD)
def test_errors_give_the_position_and_the_allowed_values(chain):
    with pytest.raises(ChainError) as caught:
        resolve_chain(parse(chain), BESIDE)
    assert str(caught.value).startswith(f"{chain!r}, {BAD[chain]}")
    assert str(caught.value) == f"{chain!r}, character {caught.value.position + 1}: {caught.value.message}"


def test_no_method_parameter_shadows_a_stage_setting():
    taken = {name for method in STAGES for name in method.Parameters.model_fields}
    assert not taken & {"layers", "text", "seed"}
