"""From a stored variant back to what makes it."""

import pytest

from core.errors import UserError
from core.request.stages import build_stage, variant_spec
from core.specs import Calibration, Stage
from tests.core.made import make

CALIBRATION = Calibration.parse("c4-sample:16x2048")


def test_a_chain_is_made_of_the_very_stages_it_was_made_of():
    stages = (
        build_stage("magnitude", 0.5),
        build_stage("wanda", 0.7, calibration=CALIBRATION, seed=3, layers="0:3"),
        build_stage("lora", settings={"rank": 4}, calibration=CALIBRATION),
    )
    spec = variant_spec(make(stages=stages, dtype="bfloat16").variant)
    assert spec.stages == stages and (spec.model, spec.revision, spec.dtype) == ("m", "r", "bfloat16")


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        (Stage(method="wand", ratio=0.5), "made with 'wand', which this version does not have"),
        (Stage(method="slimllm", version=1, ratio=0.5), "version 1 of SlimLLM, and this is version 2; run it again"),
        (Stage(method="wanda", version=0, ratio=0.5), "by a version of Wanda that is not known"),
        (Stage(method="wanda", ratio=0.5, parameters={"colour": "red"}), "Wanda has no parameter 'colour'"),
        (Stage(method="magnitude", ratio=1.0), "Ratio 1.0 is outside"),
    ],
)
def test_what_this_version_would_make_otherwise_is_refused_with_the_reason(stage, says):
    with pytest.raises(UserError, match=says):
        variant_spec(make(stages=(build_stage("magnitude", 0.5), stage)).variant)


def test_what_parameters_make_unread_is_not_in_the_key():
    settings = {"granularity": "layer"}
    bare = build_stage("llm-pruner", 0.5, settings=settings)
    assert bare == build_stage("llm-pruner", 0.5, settings=settings, calibration=CALIBRATION, seed=7)
    assert (bare.calibration, bare.seed) == (None, None)
    with pytest.raises(UserError, match="reads text"):
        build_stage("llm-pruner", 0.5)
