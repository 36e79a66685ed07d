"""Projections that compute q, k and v, or gate and up, together: separated while heads and channels are removed."""

import pytest
import torch

from core.context import Context, StageInput
from core.engine.runners.by_slicing import slice_model
from core.errors import UserError
from core.methods.structured.slicegpt import SliceGPT
from core.models.manifest import load_model_folder, save_model
from core.models.parts.blocks import find_blocks
from core.models.removal.projections import separate_projections
from core.models.removal.units import find_units, spread
from core.progress import silent
from core.request.stages import build_stage
from core.specs import Stage
from tests.core.engine.applied import block_weights, compress, shrunk
from tests.core.tiny import windows
from tools.architectures.models import tiny_model

# GPT-2 joins q, k and v; the others join gate and up, too, or have rows in another order.
ONE_OF_TWO = pytest.mark.matrix(architecture=lambda name: name == "gpt2")


@ONE_OF_TWO
@pytest.mark.parametrize("architecture", ["gpt2", "phi3", "gpt_neox", "falcon", "glm4"])
def test_joined_projections_are_shrunk_and_joined_again(architecture, tmp_path):
    model, plain = tiny_model(architecture), tiny_model(architecture)
    before = block_weights(model)
    shrunk(model, "neuron-magnitude")
    assert block_weights(model) < 0.8 * before
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in plain.named_parameters()]
    save_model(model, tmp_path)
    logits = load_model_folder(tmp_path, torch.float32)(windows()).logits
    torch.testing.assert_close(logits, model(windows()).logits)


@ONE_OF_TWO
@pytest.mark.parametrize("architecture", ["gpt2", "phi3", "gpt_neox"])
def test_factors_of_a_joined_projection_are_separate_in_the_checkpoint(architecture, tmp_path):
    model = tiny_model(architecture)
    shrunk(model, "lorap")
    save_model(model, tmp_path)
    logits = load_model_folder(tmp_path, torch.float32)(windows()).logits
    torch.testing.assert_close(logits, model(windows()).logits)


@ONE_OF_TWO
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
    save_model(model, tmp_path)
    torch.testing.assert_close(load_model_folder(tmp_path, torch.float32)(tokens).logits, model(tokens).logits)


@pytest.mark.matrix(architecture=None)
@pytest.mark.parametrize("architecture", ["phi3", "glm"])
def test_hidden_states_are_rotated_around_joined_projections(architecture):
    model, tokens = tiny_model(architecture), windows()
    expected, names = model(tokens).logits, [name for name, _ in find_blocks(model).holder.named_parameters()]
    compress(model, build_stage("rotate"), None, "cpu", silent)
    torch.testing.assert_close(model(tokens).logits, expected, atol=1e-3, rtol=1e-3)
    assert [name for name, _ in find_blocks(model).holder.named_parameters()] == names


@ONE_OF_TWO
@pytest.mark.parametrize("architecture", ["gpt2", "phi3", "olmo2"])
def test_entries_of_the_hidden_states_are_removed(architecture, tmp_path):
    """Norms over all heads keep their width, although it may be that of the hidden states."""
    model, tokens = tiny_model(architecture), windows()
    shrunk(model, "llm-pruner", 0.25, granularity="channel")
    save_model(model, tmp_path)
    torch.testing.assert_close(load_model_folder(tmp_path, torch.float32)(tokens).logits, model(tokens).logits)


@pytest.mark.matrix(architecture=None)
@pytest.mark.parametrize("architecture", ["gpt_neo", "gpt_neox", "mpt", "olmo2"])
def test_blocks_of_another_structure_are_not_sliced(architecture):
    with pytest.raises(UserError, match="one plain norm before attention and one before the FFN"):
        shrunk(tiny_model(architecture), "slicegpt", 0.25)


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


@pytest.mark.matrix(architecture=None)
@pytest.mark.parametrize("architecture", ["bloom", "mpt"])
def test_heads_with_a_position_bias_of_their_own_stay(architecture):
    with pytest.raises(UserError, match="ALiBi"):
        shrunk(tiny_model(architecture), "neuron-magnitude")
