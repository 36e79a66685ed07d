"""What a stage leaves that later ones keep or come close to: set, trained, sliced, copied, saved and loaded."""

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.base.errors import UserError
from core.models.manifest import load_model_folder, save_model
from core.models.parts import reference
from core.models.parts.blocks import find_blocks
from core.models.parts.constraints import FILE, Constraint, constraint_of, set_constraint
from core.models.parts.reference import SliceRecord, load_references, reference_of, save_references
from core.models.removal.depth import keep_blocks
from core.models.removal.units import slice_linear
from core.models.sources import identify, load_model
from core.training.adapters import adapters_of, add_adapters, merge_adapters
from tests.core.engine.applied import shrunk
from tests.core.tiny import tiny, windows
from tests.core.training.trained import cut, trained

CPU = torch.device("cpu")


def linears_of(model):
    return {linear.name: linear for linear in find_blocks(model).all_linears()}


def bound(linear):
    """Where a linear must stay zero, nowhere if it has no constraint."""
    known = constraint_of(linear.module)
    return known.zeros(CPU) if known else torch.zeros_like(linear.weight, dtype=torch.bool)


def zeros_of(model):
    return {name: bound(linear) for name, linear in linears_of(model).items()}


def assert_kept(model, zeros):
    """Every weight that must stay zero does, and is still known to."""
    for name, linear in linears_of(model).items():
        assert not linear.weight[zeros[name]].any(), name
        assert torch.equal(bound(linear), zeros[name]), name


@pytest.mark.parametrize("shape", [(3, 5), (8, 8), (1, 1), (4, 6)])
def test_a_mask_is_restored_from_its_bits(shape):
    zeros = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.5
    known = Constraint.of(zeros)
    assert torch.equal(known.zeros(CPU), zeros)
    assert known.bits.numel() == -(-zeros.numel() // 8)


@pytest.mark.parametrize(("method", "ratio"), [("magnitude", 0.0), ("svd", 0.3)])
def test_methods_that_remove_no_weights_leave_no_constraint(method, ratio):
    model = cut(tiny(), method, ratio)
    assert not any(constraint_of(module) for module in model.modules())
    for linear in linears_of(model).values():
        linear.weight[:, ::2] = 0
    add_adapters(model, 4, 16.0, 0.0, 0)
    assert all(adapter.mask is None for adapter in adapters_of(model).values())


@pytest.mark.parametrize("name", ["llama-gqa", "gpt2"])
@pytest.mark.parametrize("ratio", [0.5, 0.0008])
def test_training_changes_incidental_zeros_but_no_removed_weights(name, ratio):
    model = cut(tiny(name), "wanda" if ratio == 0.5 else "magnitude", ratio)
    zeros = zeros_of(model)
    assert any(where.any() for where in zeros.values())
    by_chance = {}
    for key, linear in linears_of(model).items():
        by_chance[key] = (~zeros[key]).nonzero()[0].tolist()
        linear.weight[tuple(by_chance[key])] = 0
    for parameter in add_adapters(model, 4, 16.0, 0.0, 0):
        torch.nn.init.normal_(parameter, std=0.2)
    merge_adapters(model)
    assert_kept(model, zeros)
    assert all(linear.weight[tuple(by_chance[key])] != 0 for key, linear in linears_of(model).items())


@pytest.mark.parametrize("name", ["llama-gqa", "gpt2"])
def test_a_pattern_survives_training_saving_loading_and_training(name, tmp_path):
    model = cut(tiny(name), "sparsegpt", pattern="2:4")
    zeros = zeros_of(model)
    trained(model)
    save_model(model, tmp_path)
    again = load_model_folder(tmp_path, torch.float32)
    assert_kept(again, zeros)
    trained(again)
    assert_kept(again, zeros)
    assert {constraint_of(linear.module).pattern for linear in linears_of(again).values()} == {(2, 4)}
    before = linears_of(model)
    assert not any(torch.equal(linear.weight, before[key].weight) for key, linear in linears_of(again).items())


def test_a_pattern_survives_if_whole_groups_remain():
    model = cut(tiny(), "magnitude", pattern="2:4")
    module = find_blocks(model).linears(0)[0].module
    slice_linear(module, rows=torch.arange(1, 8), columns=torch.arange(4, 20))
    assert constraint_of(module).pattern == (2, 4)
    slice_linear(module, columns=torch.arange(2, 14))
    assert constraint_of(module).pattern is None
    assert torch.equal(constraint_of(module).zeros(CPU), module.weight == 0)


def test_copies_keep_the_constraint_and_the_state_dict_omits_it():
    model = cut(tiny(), "wanda", pattern="2:4")
    zeros = zeros_of(model)
    plain = tiny()
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert dict(model.named_buffers()).keys() == dict(plain.named_buffers()).keys()
    assert model.get_memory_footprint() == plain.get_memory_footprint()
    other = copy.deepcopy(model).to(torch.bfloat16)
    assert_kept(other, zeros)
    set_constraint(linears_of(other)["model.layers.0.mlp.up_proj"].module, torch.ones(48, 32, dtype=torch.bool))
    assert_kept(model, zeros)


def test_a_plain_checkpoint_restores_its_constraint(tmp_path):
    model = cut(tiny(), "wanda", pattern="2:4")
    zeros = zeros_of(model)
    save_model(model, tmp_path)
    plain, loading = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not loading["unexpected_keys"] and not loading["missing_keys"]
    assert torch.equal(plain.eval()(windows()).logits, model(windows()).logits)
    source = identify(str(tmp_path))
    assert_kept(load_model(source), zeros)
    (tmp_path / FILE).unlink()
    assert identify(str(tmp_path)).revision != source.revision
    free = load_model(identify(str(tmp_path)))
    assert not any(constraint_of(module) for module in free.modules())
    with pytest.raises(UserError, match=FILE):  # which a cached variant has
        load_model_folder(tmp_path, torch.float32)


def test_a_constraint_of_another_model_is_rejected(tmp_path):
    save_model(cut(tiny(num_hidden_layers=3), "wanda"), tmp_path / "deeper")
    save_model(tiny(), tmp_path / "here")
    (tmp_path / "here" / FILE).write_bytes((tmp_path / "deeper" / FILE).read_bytes())
    with pytest.raises(UserError, match=r"constraints\.bits does not fit the model: model\.layers\.2"):
        load_model(identify(str(tmp_path / "here")))
    (tmp_path / "here" / FILE).write_bytes(b"none")
    with pytest.raises(UserError, match="here could not be loaded"):
        load_model(identify(str(tmp_path / "here")))


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
    with pytest.raises(OSError, match=reference.FILE):
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
