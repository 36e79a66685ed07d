"""What a later stage brings weights close to: noted, cut, rescaled, forgotten, copied, saved and loaded."""

import copy

import pytest
import torch

from core.models.manifest import save_model
from core.models.parts import reference
from core.models.parts.blocks import find_blocks
from core.models.parts.reference import FILE, SliceRecord, load_references, reference_of, save_references
from core.models.removal.depth import keep_blocks
from tests.core.engine.applied import shrunk
from tests.core.tiny import tiny
from tests.core.training.trained import cut, trained


def marked(name="llama-gqa", **changes):
    """A model that is marked as the dense one, and a copy for comparing."""
    model = tiny(name, **changes)
    dense = copy.deepcopy(model)
    reference.mark_dense(find_blocks(model))
    return model, dense


def wanted(model, dense):
    """What each linear should come close to, by its name in the model as it is now."""
    weights = {linear.name: linear.weight for linear in find_blocks(dense).all_linears()}
    linears = find_blocks(model).all_linears()
    return {
        linear.name: reference.resolve_reference(linear.module, linear.weight, weights.__getitem__)
        for linear in linears
    }


def weights(model):
    return {linear.name: linear.weight.clone() for linear in find_blocks(model).all_linears()}


def kinds(model):
    return {type(reference_of(linear.module)) for linear in find_blocks(model).all_linears()}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def refuse(name):
    raise AssertionError(f"the dense {name} was asked for")


@pytest.mark.parametrize("name", ["llama-gqa", "gpt2"])
@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
def test_masks_of_the_dense_model_need_no_reference_memory(name, method):
    model, dense = marked(name)
    for ratio in (0.3, 0.6):  # however often
        cut(model, method, ratio)
        assert kinds(model) == {SliceRecord} and reference.reference_bytes(model) == 0
        assert_equal(wanted(model, dense), weights(dense))


@pytest.mark.parametrize("marking", [True, False])
def test_a_mask_after_a_training_copies_the_trained_weights(marking):
    model = marked()[0] if marking else tiny()
    cut(model, "magnitude", 0.4)
    trained(model)
    assert kinds(model) == {type(None)}
    learnt = weights(model)
    assert_equal(wanted(model, tiny()), learnt)
    cut(model, "wanda", 0.6)
    assert kinds(model) == {torch.Tensor}
    assert_equal(wanted(model, tiny()), learnt)


@pytest.mark.parametrize(
    ("method", "settings"),
    [("slimllm", {}), ("slimllm", {"regression": "bias"}), ("flap", {}), ("llm-pruner", {"granularity": "channel"})],
)
@pytest.mark.parametrize("marking", [True, False])
def test_cuts_and_scales_also_apply_to_the_reference(method, settings, marking):
    model, dense = marked("llama-mha", num_hidden_layers=4)
    if not marking:
        model = copy.deepcopy(dense)
    shrunk(model, method, 0.2, **settings)
    smaller = weights(model)
    assert any(weight.shape != dense.get_submodule(name).weight.shape for name, weight in smaller.items())
    assert_equal(wanted(model, dense), smaller)
    cut(model, "magnitude", 0.5)
    assert_equal(wanted(model, dense), smaller)
    assert kinds(model) == {SliceRecord if marking else torch.Tensor}
    # Again, for a masked model whose reference differs from its weights.
    shrunk(model, method, 0.55, **settings)  # with half of it zero, a tenth
    again = wanted(model, dense)
    for name, weight in weights(model).items():
        assert again[name].shape == weight.shape
        torch.testing.assert_close(again[name][weight != 0], weight[weight != 0], rtol=1e-4, atol=1e-6)
        assert again[name].count_nonzero() > 1.5 * weight.count_nonzero()


def test_remaining_blocks_keep_their_original_names():
    model, dense = marked(num_hidden_layers=4)
    keep_blocks(model, find_blocks(model), [0, 2, 3])
    cut(model, "magnitude", 0.5)
    found, expected = wanted(model, dense), weights(dense)
    assert len(found) == 3 / 4 * len(expected)
    for index, block in enumerate((0, 2, 3)):
        for linear in find_blocks(model).linears(index):
            own = linear.name.replace(f"layers.{index}.", f"layers.{block}.")
            assert reference_of(linear.module).name == own
            assert torch.equal(found[linear.name], expected[own])


@pytest.mark.parametrize(("method", "ratio"), [("slicegpt", 0.3), ("svd", 0.3), ("asvd", 0.3)])
def test_mixed_weights_are_their_own_reference(method, ratio):
    model, _ = marked()
    cut(model, "magnitude", 0.3)
    cut(model, method, ratio)
    assert kinds(model) == {type(None)}
    made = weights(model)
    cut(model, "magnitude", 0.5)
    assert_equal(
        {name: reference.resolve_reference(model.get_submodule(name), made[name], refuse) for name in made}, made
    )


def test_copies_keep_the_reference_and_the_state_dict_omits_it():
    model = cut(tiny(), "wanda")
    assert model.state_dict().keys() == tiny().state_dict().keys()
    assert model.get_memory_footprint() == tiny().get_memory_footprint()
    other = copy.deepcopy(model).to(torch.bfloat16)
    shrunk(other, "neuron-magnitude", 0.65)
    assert_equal(wanted(model, tiny()), weights(tiny()))


@pytest.mark.parametrize("name", ["llama-gqa", "gpt2"])
@pytest.mark.parametrize("marking", [True, False])
def test_saved_references_are_restored(name, marking, tmp_path):
    model, dense = marked(name) if marking else (tiny(name), tiny(name))
    if name == "llama-gqa":
        shrunk(model, "slimllm", 0.3)
    cut(model, "magnitude", 0.5)
    expected = wanted(model, dense)
    save_references(model, tmp_path)
    again = copy.deepcopy(model)
    for linear in find_blocks(again).all_linears():
        linear.module.reference = None
    load_references(again, tmp_path)
    assert kinds(again) == kinds(model) == {SliceRecord if marking else torch.Tensor}
    assert_equal(wanted(again, dense), expected)
    assert not list(tmp_path.glob("*.safetensors"))


def test_missing_or_foreign_references_are_rejected(tmp_path):
    save_model(cut(tiny(), "magnitude"), tmp_path)  # complete without
    with pytest.raises(OSError, match=FILE):
        load_references(tiny(), tmp_path)
    for larger in (tiny(num_hidden_layers=3), tiny(hidden_size=64)):
        save_references(cut(larger, "magnitude"), tmp_path)
        with pytest.raises(ValueError, match="does not fit the model"):
            load_references(tiny(), tmp_path)
    model, _ = marked(intermediate_size=64)
    shrunk(model, "neuron-magnitude", 0.3)
    save_references(model, tmp_path)
    with pytest.raises(ValueError, match="does not fit the model"):
        load_references(tiny(), tmp_path)
