"""Linears that compute on their codes: the model's own answers, within what activations round, and its own after."""

import pytest
import torch

from core.base.progress import silent
from core.evaluation.latency import latency
from core.evaluation.packed import EIGHT, FOUR, Int4Linear, Int8Linear, held_bytes, packed
from core.methods.find import find_grid
from core.models.parts.blocks import find_blocks
from core.models.parts.grids import set_grid
from tests.core.tiny import tiny, windows

WIDE = {"hidden_size": 64, "intermediate_size": 128, "max_position_embeddings": 1024}


def quantised(bits, group=32, symmetric=True, keep=(), **changes):
    """A tiny model whose linears, but those of the roles `keep`, lie on grids."""
    model = tiny(**(WIDE | changes))
    with torch.no_grad():
        for linear in find_blocks(model).all_linears():
            if linear.role not in keep:
                grid = find_grid(linear.weight, bits, group or linear.weight.shape[1], symmetric)
                linear.weight.copy_(grid.nearest(linear.weight))
                set_grid(linear.module, grid)
    return model


def logits(model):
    with torch.inference_mode():
        return model(windows(2)).logits.float()


def difference(one, other):
    return float((one - other).norm() / one.norm())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("bits", "group"), [(4, 32), (4, 64), (3, 0), (2, 32)])
def test_packed_codes_of_few_bits_match_the_linear(bits, group, symmetric):
    weight, bias = torch.randn(48, 128), torch.randn(48)
    grid = find_grid(weight, bits, group or 128, symmetric)
    rounded, inputs = grid.nearest(weight), torch.randn(2, 5, 128).bfloat16()
    exact = inputs.float() @ rounded.T + bias
    assert difference(exact, Int4Linear(rounded, bias, grid)(inputs).float()) < 0.008  # what bf16 rounds


def test_packed_codes_of_8_bits_match_the_linear():
    weight, bias = torch.randn(48, 128), torch.randn(48)
    rounded, inputs = find_grid(weight, 8, 128).nearest(weight), torch.randn(2, 5, 128)
    exact = inputs @ rounded.T + bias
    assert difference(exact, Int8Linear(rounded, bias)(inputs)) < 0.04  # activations have 7 bits


@pytest.mark.parametrize(("bits", "how", "most"), [(4, FOUR, 0.1), (3, FOUR, 0.1), (8, EIGHT, 0.2)])
def test_packing_preserves_outputs_and_unpacking_restores_them(bits, how, most):
    model = quantised(bits)
    own, held = logits(model), held_bytes(model)
    with packed(model) as kind:
        assert kind == how and held_bytes(model) < held
        assert difference(own, logits(model)) < most
    assert torch.equal(own, logits(model)) and held_bytes(model) == held


def test_weights_without_a_grid_are_not_packed():
    with packed(tiny(**WIDE)) as kind:
        assert kind is None
    with packed(quantised(4, group=16)) as kind:  # a group that the product does not have
        assert kind is None
    model = quantised(4, keep=("down",))
    with packed(model) as kind:
        kinds = {type(linear.module).__name__ for linear in find_blocks(model).all_linears()}
        assert kind == FOUR and kinds == {"Linear"}
        assert sum(isinstance(module, Int4Linear) for module in model.modules()) == 6 * len(find_blocks(model).holder)


def test_latency_of_a_packed_model_names_its_activations():
    model = quantised(4)
    with packed(model) as how:
        rows = latency(model, how, silent)
    assert {row.protocol["dtype"] for row in rows} == {FOUR} and all(row.value > 0 for row in rows)
