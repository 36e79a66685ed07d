"""The function of a model's logits, and the check that evaluation computes the model's own log-probabilities."""

import copy

import pytest

from core.base.errors import UserError
from core.evaluation import states
from core.evaluation.perplexity import window_losses
from core.evaluation.states import OutputScale, check_logits, output_scale
from core.models.parts.blocks import body
from tests.core.tiny import tiny, windows
from tools.architectures.models import tiny_model


def no_scale(model):
    """The head of a model, but nothing after it."""
    return {"output_scale": lambda model: OutputScale()}


def multiplied(model):
    return {"output_scale": lambda model: OutputScale(1 / output_scale(model).factor)}


def no_bias(model):
    model.lm_head.bias.normal_(std=0.02)
    parts = list(states.head_parts(model))
    return {"head_parts": lambda model: ((weight, None) for weight, _ in parts)}


def no_embedding_scale(model):
    changed = copy.deepcopy(body(model))
    changed.embedding_multiplier = 1
    return {"body": lambda model: changed}


def no_norm_weight(model):
    body(model).norm.weight.normal_(1, 0.02)
    changed = copy.deepcopy(body(model))
    changed.norm.weight.fill_(1)
    return {"body": lambda model: changed}


# Each changes the logits by less than 5 %.
FAULTS = {
    "no soft cap": (lambda: tiny_model("recurrent_gemma"), no_scale),
    "no factor": (lambda: tiny("cohere", logit_scale=1.01), no_scale),
    "a factor instead of a divisor": (lambda: tiny("granite", logits_scaling=1.01), multiplied),
    "no bias of the head": (lambda: tiny_model("phi"), no_bias),
    "no factor of the embedding": (lambda: tiny("granite", embedding_multiplier=1.01), no_embedding_scale),
    "no weight of the last norm": (tiny, no_norm_weight),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_small_fault_in_the_logits_is_refused(fault, monkeypatch):
    build, break_it = FAULTS[fault]
    model, (tokens, *_) = build().requires_grad_(False), windows()
    check_logits(model, tokens)
    for name, broken in break_it(model).items():
        monkeypatch.setattr(states, name, broken)
    with pytest.raises(UserError):
        check_logits(model, tokens)


@pytest.mark.parametrize("architecture", ["recurrent_gemma", "falcon_h1"])
def test_losses_follow_what_a_model_does_with_its_logits(architecture):
    model, tokens = tiny_model(architecture), windows(3, 20)
    own = [model(input_ids=window[None], labels=window[None]).loss.item() for window in tokens]
    assert output_scale(model) != OutputScale()
    assert window_losses(model, tokens) == pytest.approx(own, rel=1e-5)


def test_rounding_to_16_bits_passes():
    """Gemma's own cap would round four times, but the check computes it in fp32."""
    (tokens, *_) = windows()
    for name in ("gemma2", "granite", "olmo2"):
        check_logits(tiny(name).bfloat16(), tokens)
    model = tiny("gemma2").bfloat16()
    model.register_forward_hook(lambda module, args, output: setattr(output, "logits", output.logits * 1.02))
    with pytest.raises(UserError):
        check_logits(model, tokens)
