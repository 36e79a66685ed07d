"""REAP and its baseline: scores, removal from layers and routers, refusals."""

import pytest
import torch

from core.amount import Amount
from core.base.errors import UserError
from core.context import Context, StageInput
from core.engine.stages import apply
from core.models.manifest import save_model
from core.models.parts.blocks import find_blocks
from core.models.parts.constraints import constraint_of
from core.models.parts.experts import experts_in
from core.models.removal.experts import lowest_in_groups
from core.request.stages import build_stage
from core.specs import TextWindows
from tests.core.tiny import tiny, windows
from tools.architectures.models import tiny_model

TOKENS = windows(6, 32)


def removed(model, method="reap", ratio=0.2):
    stage = build_stage(method, Amount.from_columns(ratio, None), calibration=TextWindows.parse("c4-sample:6x32"))
    return apply(model, StageInput(stage, TOKENS), Context(torch.device("cpu")))


def routed(model):
    """Return for each layer, by name, (tokens, contribution) of each expert from a loop over the model's own calls."""
    found = {}
    for name, layer in [(name, one) for name, one in model.named_modules() if one in experts_in(model)]:
        tokens, sums = [0] * len(layer), [0.0] * len(layer)

        def look(module, args, layer=layer, tokens=tokens, sums=sums):
            hidden, chosen, weights = args
            for token, experts, gates in zip(hidden, chosen, weights, strict=True):
                for number, gate in zip(experts.tolist(), gates.tolist(), strict=True):
                    tokens[number] += 1
                    sums[number] += gate * layer[number](token[None]).norm().item()

        handle = layer.register_forward_pre_hook(look)
        model(TOKENS)
        handle.remove()
        found[name] = tokens, sums
    return found


@pytest.mark.matrix(architecture=lambda name: name == "deepseek_v3", method=str)
@pytest.mark.parametrize("architecture", ["mixtral", "qwen3_moe", "olmoe", "deepseek_v3", "gpt_oss", "granitemoe"])
@pytest.mark.parametrize("method", ["reap", "expert-frequency"])
def test_the_experts_with_the_lowest_scores_are_removed(architecture, method):
    model, other = tiny_model(architecture), tiny_model(architecture)
    expected = {}
    for name, (tokens, sums) in routed(other).items():
        scores = tokens if method == "expert-frequency" else [s / max(t, 1) for s, t in zip(sums, tokens, strict=True)]
        expected[name] = sorted(range(len(scores)), key=lambda number: (scores[number], number))
    done = removed(model, method)
    gone = {one.name.rpartition(".")[0] for one in done.reports if one.sparsity == 1}
    count = 8 - len(experts_in(model)[0])
    assert count and gone == {f"{name}.{number}" for name, order in expected.items() for number in order[:count]}
    assert all(len(layer) == 8 - count for layer in experts_in(model))


def test_groups_lose_equally_many():
    scores = torch.tensor([5.0, 1.0, 2.0, 3.0, 9.0, 8.0, 7.0, 6.0])
    assert lowest_in_groups(scores, 2, 2).tolist() == [0, 2, 3, 4, 5, 6]
    assert lowest_in_groups(scores, 2, 1).tolist() == [0, 3, 4, 5, 6, 7]


def test_the_removal_of_an_expert_that_no_token_reached_changes_nothing():
    """As the weights of the others are normalised over the chosen ones alone."""
    model = tiny_model("gpt_oss")
    for block in find_blocks(model).holder:
        block.mlp.router.bias[5] = -1e4
    assert [tokens[5] for tokens, _ in routed(model).values()] == [0, 0]
    before = model(TOKENS).logits
    removed(model, ratio=0.1)
    assert all(len(layer) == 7 for layer in experts_in(model))
    assert torch.allclose(model(TOKENS).logits, before, atol=1e-5)


def test_the_smaller_model_is_one_of_its_architecture(tmp_path):
    model = tiny_model("deepseek_v3")
    removed(model)
    assert save_model(model, tmp_path)
    assert model.config.n_routed_experts == len(experts_in(model)[0]) < 8


@pytest.mark.parametrize(
    ("architecture", "ratio", "sentence"),
    [
        ("llama-gqa", 0.2, "this model has none"),
        ("mixtral", 0.001, "Ratio 0.001 is 0 of the 8 experts of every layer; give from 0.1"),
        ("mixtral", 0.95, "is 8 of the 8 experts"),
        ("mixtral", 0.8, "leaves 1 of 8 experts in a layer, but the router sends each token to 2"),
    ],
)
def test_impossible_removals_are_refused(architecture, ratio, sentence):
    model = tiny(architecture).requires_grad_(False) if architecture == "llama-gqa" else tiny_model(architecture)
    with pytest.raises(UserError, match=sentence):
        removed(model, ratio=ratio)


def test_zeros_and_patterns_of_the_remaining_experts_stay():
    model = tiny_model("mixtral")
    for method, amount in (("wanda", "2:4"), ("reap", None)):
        stage = build_stage(
            method,
            Amount.from_columns(None if amount else 0.6, amount),
            calibration=TextWindows.parse("c4-sample:6x32"),
        )
        apply(model, StageInput(stage, TOKENS), Context(torch.device("cpu")))
    assert len(experts_in(model)[0]) < 8
    for linear in find_blocks(model).all_linears():
        assert constraint_of(linear.module).pattern == (2, 4) and not linear.weight[linear.zeros].any()
