"""Projections that compute q, k and v, or gate and up, together: separated while heads and channels are removed."""

import pytest
import torch

from core.base.errors import UserError
from core.base.progress import silent
from core.context import Context, StageInput
from core.engine.runners.by_slicing import slice_model
from core.methods.structured.slicegpt import SliceGPT
from core.models.manifest import load_model_folder, save_model
from core.models.parts.blocks import find_blocks
from core.models.removal.projections import separate_projections
from core.models.removal.units import find_units, spread
from core.request.stages import build_stage
from core.specs import Stage
from tests.core.engine.applied import block_weights, compress, shrunk
from tests.core.tiny import windows
from tools.architectures.models import tiny_model

# GPT-2 joins q, k and v; the others join gate and up, too, or have rows in another order.
ONE_OF_TWO = pytest.mark.matrix(architecture=lambda name: name == "gpt2")
OTHER_NORMS = ("gpt_neo", "gpt_neox", "mpt", "olmo2")


SHRUNK = {  # each form that leaves other shapes, with the architectures that it is tried on
    "neuron-magnitude": ({}, ["gpt2", "phi3", "gpt_neox", "falcon", "glm4"]),
    "lorap": ({}, ["gpt2", "phi3", "gpt_neox"]),  # whose factors stay apart
    "llm-pruner": ({"granularity": "channel"}, ["gpt2", "phi3", "olmo2"]),  # whose norms over all heads stay as wide
}


def check_reloads(model, folder):
    save_model(model, folder)
    torch.testing.assert_close(load_model_folder(folder, torch.float32)(windows()).logits, model(windows()).logits)


@pytest.mark.matrix(method=str, architecture=lambda name: name == "gpt2")
@pytest.mark.parametrize(("method", "architecture"), [(one, name) for one in SHRUNK for name in SHRUNK[one][1]])
def test_joined_projections_are_shrunk_and_saved(method, architecture, tmp_path):
    model, plain = tiny_model(architecture), tiny_model(architecture)
    before = block_weights(model)
    shrunk(model, method, **SHRUNK[method][0])
    assert block_weights(model) < 0.8 * before
    if method != "lorap":
        assert [name for name, _ in model.named_parameters()] == [name for name, _ in plain.named_parameters()]
    check_reloads(model, tmp_path)


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
    check_reloads(model, tmp_path)


@pytest.mark.matrix(architecture=None)
@pytest.mark.parametrize("architecture", ["phi3", "glm"])
def test_hidden_states_are_rotated_around_joined_projections(architecture):
    model, tokens = tiny_model(architecture), windows()
    expected, names = model(tokens).logits, [name for name, _ in find_blocks(model).holder.named_parameters()]
    compress(model, build_stage("rotate"), None, "cpu", silent)
    torch.testing.assert_close(model(tokens).logits, expected, atol=1e-3, rtol=1e-3)
    assert [name for name, _ in find_blocks(model).holder.named_parameters()] == names


@pytest.mark.matrix(architecture=None, method=str)
@pytest.mark.parametrize(
    ("architecture", "method", "reason"),
    [
        *((name, "slicegpt", "one plain norm before attention and one before the FFN") for name in OTHER_NORMS),
        *((name, "neuron-magnitude", "ALiBi") for name in ("bloom", "mpt")),
    ],
)
def test_blocks_that_cannot_shrink_are_rejected(architecture, method, reason):
    with pytest.raises(UserError, match=reason):
        shrunk(tiny_model(architecture), method, 0.25)


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
