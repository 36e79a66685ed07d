"""Structured removal from models with other blocks: experts, and projections that compute several roles together."""

import pytest
import torch

from core.base.errors import UserError
from core.context import Context, StageInput
from core.engine.runners.by_slicing import slice_model
from core.methods.structured.slicegpt import SliceGPT
from core.models.manifest import save_model
from core.models.parts.blocks import find_blocks
from core.models.parts.constraints import constraint_of
from core.models.parts.experts import experts_in
from core.models.removal.experts import lowest_in_groups
from core.models.removal.projections import separate_projections
from core.models.removal.units import find_units, spread
from core.request.stages import build_stage
from core.specs import Stage
from tests.core.engine.applied import block_weights, check_reloads, compress, shrunk
from tests.core.tiny import tiny, windows
from tools.architectures.models import tiny_model

TOKENS = windows()  # which `shrunk` calibrates on


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
    gone = {one.name.rpartition(".")[0] for one in shrunk(model, method, 0.2) if one.sparsity == 1}
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
    shrunk(model, "reap", 0.1)
    assert all(len(layer) == 7 for layer in experts_in(model))
    assert torch.allclose(model(TOKENS).logits, before, atol=1e-5)


def test_the_smaller_model_is_one_of_its_architecture(tmp_path):
    model = tiny_model("deepseek_v3")
    shrunk(model, "reap", 0.2)
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
        shrunk(model, "reap", ratio)


def test_zeros_and_patterns_of_the_remaining_experts_stay():
    model = tiny_model("mixtral")
    shrunk(model, "wanda", pattern="2:4")
    shrunk(model, "reap", 0.6)
    assert len(experts_in(model)[0]) < 8
    for linear in find_blocks(model).all_linears():
        assert constraint_of(linear.module).pattern == (2, 4) and not linear.weight[linear.zeros].any()


# GPT-2 joins q, k and v; the others join gate and up, too, or have rows in another order. Other methods, and the
# reasons of refusals, are tried in `tests/tools/test_architectures.py`.
@pytest.mark.matrix(architecture=lambda name: name == "gpt2")
@pytest.mark.parametrize("architecture", ["gpt2", "phi3", "gpt_neox", "falcon", "glm4"])
def test_joined_projections_are_shrunk_and_saved(architecture, tmp_path):
    model, plain = tiny_model(architecture), tiny_model(architecture)
    shrunk(model, "neuron-magnitude")
    assert block_weights(model) < 0.8 * block_weights(plain)
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in plain.named_parameters()]
    check_reloads(model, tmp_path)


@pytest.mark.matrix(architecture=lambda name: name == "gpt2")
@pytest.mark.parametrize("architecture", ["gpt2", "phi3", "glm"])
def test_hidden_states_are_sliced_around_joined_projections(architecture, tmp_path):
    """A model as wide as it was computes the same; the projections are joined again."""
    model, tokens = tiny_model(architecture), windows()
    expected, names = model(tokens).logits, {one.name for one in find_blocks(model).all_linears()}
    as_wide = StageInput(Stage(method="slicegpt", ratio=-0.5), tokens, decoder=find_blocks(model))
    with separate_projections(model, as_wide.blocks):
        slice_model(model, SliceGPT(), as_wide, Context(torch.device("cpu")))
    torch.testing.assert_close(model(tokens).logits, expected, atol=1e-3, rtol=1e-3)
    assert names <= {one.name for one in find_blocks(model).all_linears()}
    check_reloads(model, tmp_path)


@pytest.mark.matrix(architecture=None)
@pytest.mark.parametrize("architecture", ["phi3", "glm"])
def test_hidden_states_are_rotated_around_joined_projections(architecture):
    model, tokens = tiny_model(architecture), windows()
    expected, names = model(tokens).logits, [name for name, _ in find_blocks(model).holder.named_parameters()]
    compress(model, build_stage("rotate"), None)
    torch.testing.assert_close(model(tokens).logits, expected, atol=1e-3, rtol=1e-3)
    assert [name for name, _ in find_blocks(model).holder.named_parameters()] == names


@pytest.mark.parametrize("architecture", ["gpt2", "phi3", "gpt_neox", "falcon", "glm4", "gpt_bigcode", "persimmon"])
def test_separated_projections_compute_the_same(architecture):
    """So each output belongs to the head or channel that the trial found."""
    model = tiny_model(architecture)
    blocks, expected = find_blocks(model), model(windows()).logits
    with separate_projections(model, blocks):
        assert not [one for one in blocks.all_linears() if one.role in ("qkv", "gate_up")]
        torch.testing.assert_close(model(windows()).logits, expected)
        units = find_units(blocks, 0)
        heads = units.geometry.query_heads // units.geometry.kv_heads  # of the first group
        columns = spread(torch.arange(heads), units.geometry.head_dim)
        units.linears["o"].weight[:, columns] = 0
        silent = model(windows()).logits
        units.linears["q"].weight[columns] = 1
        units.linears["k"].weight[: units.geometry.head_dim] = 1
        units.linears["v"].weight[: units.geometry.head_dim] = 1
        torch.testing.assert_close(model(windows()).logits, silent)
