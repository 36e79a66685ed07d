"""Rotations that change nothing that a model computes, and what they do to its weights."""

import copy

import pytest
import torch

from core.base.errors import UserError
from core.evaluation.footprint import footprint
from core.methods.kinds import TransformMethod
from core.methods.quantised.hadamard import hadamard, random_rotation
from core.registry import METHODS, PREPARATIONS
from core.request.stages import build_stage
from core.specs import UNCHANGED
from tests.core.contract.ground import counts, linears, same
from tests.core.engine.applied import check_reloads, compress
from tests.core.tiny import layout_of, tiny, windows

TURNED = ("llama-gqa", "llama-mha", "qwen2-sliding", "qwen3", "mistral", "smollm3", "granite")
OTHERS = ("opt", "gpt2", "gemma2", "gemma3", "olmo2")


def rotate(**settings):
    return build_stage("rotate", settings=settings)


@pytest.mark.parametrize("order", [1, 2, 12, 20, 28, 36, 60, 64, 576, 1536])
def test_hadamard_matrices_have_orthogonal_rows_of_1_and_minus_1(order):
    found = hadamard(order)
    assert (found.abs() == 1).all()
    torch.testing.assert_close(found @ found.T, order * torch.eye(order, dtype=torch.float64))


@pytest.mark.parametrize("width", [8, 36, 52, 7])
def test_rotations_are_orthogonal_and_depend_on_the_seed(width):
    one, other = random_rotation(width, 0), random_rotation(width, 1)
    torch.testing.assert_close(one @ one.T, torch.eye(width, dtype=torch.float64))
    assert torch.equal(one, random_rotation(width, 0)) and not torch.equal(one, other)
    assert (hadamard(width) is None) is (width in (52, 7))


@pytest.fixture
def gained():
    """Make models whose norms have gains that matter, and biases where they have some."""

    def make(name, **changes):
        model, draw = tiny(name, **changes), torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.data.copy_(torch.rand(parameter.shape, generator=draw) + 0.5)
        return model

    return make


@pytest.mark.matrix(name=lambda name: name not in ("llama-mha", "mistral") and name, settings=str, tied=bool)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("settings", [{}, {"heads": False}, {"draw": 3}], ids=str)
@pytest.mark.parametrize("name", TURNED)
def test_a_rotated_model_gives_the_same_outputs_with_other_weights(name, settings, tied, gained, tmp_path):
    model, text = gained(name, tie_word_embeddings=tied), windows()
    dense = copy.deepcopy(model)
    compress(model, rotate(**settings), None)
    with torch.no_grad():
        before, after = dense(text).logits, model(text).logits
        assert (after - before).norm() < 1e-4 * before.norm()
        again = check_reloads(model, tmp_path)
    changed = {
        one.role
        for one, other in zip(linears(model), linears(dense), strict=True)
        if not torch.allclose(one.weight, other.weight, atol=1e-3)
    }
    assert changed == {"q", "k", "v", "o", "gate", "up", "down"}
    assert torch.equal(model.get_output_embeddings().weight, dense.get_output_embeddings().weight)
    width = model.config.hidden_size
    ours, theirs = (footprint(one, *counts(dense)) for one in (model, dense))
    assert ours.model_parameters == theirs.model_parameters + 2 * width**2
    assert ours.macs == theirs.macs + 64 * 2 * width**2
    assert footprint(again, *counts(dense)) == ours


@pytest.mark.matrix(name=layout_of)
@pytest.mark.parametrize("name", OTHERS)
def test_unsupported_models_are_rejected_unchanged(name):
    model = tiny(name)
    before = copy.deepcopy(model)
    with pytest.raises(UserError, match=r"needs (blocks|a plain|q, k)|Structured"):
        compress(model, rotate(), None)
    assert same(model, before)


def test_unchanged_lists_all_preparations():
    assert {"dense", *(stage.name for stage in PREPARATIONS)} == set(UNCHANGED)
    assert not any(issubclass(method, TransformMethod) for method in METHODS)
    assert not rotate().recovers
