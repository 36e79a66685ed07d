"""SparseGPT that rounds what it keeps, and statistics of dead inputs or without numbers."""

import pytest
import torch

from core.base.errors import UserError
from core.evaluation.footprint import footprint
from core.methods.linear import Statistics, Target
from core.methods.quantised.gptq import GPTQ
from core.methods.unstructured.adaprune import AdaPrune
from core.methods.unstructured.alps import ALPS
from core.methods.unstructured.obs import OBS
from core.methods.unstructured.sparsegpt import SparseGPT
from core.models.parts.constraints import constraint_of
from core.models.parts.grids import grid_of
from tests.core.contract.ground import linears
from tests.core.engine.applied import shrunk
from tests.core.methods.linear import GROUP
from tests.core.tiny import tiny


@pytest.mark.parametrize("method", [SparseGPT, OBS])
def test_dead_inputs_are_zeroed_and_named(method, weight, gram):
    gram[5], gram[:, 5] = 0, 0
    result = method().compress(weight.clone(), Statistics(600, {"gram": gram}), Target(0.5))
    assert not result.weight[:, 5].any() and result.weight.isfinite().all()
    assert result.note == "1 dead inputs" and result.zeros.sum() == 0.5 * weight.numel()


@pytest.mark.parametrize("method", [SparseGPT, OBS, ALPS, AdaPrune, GPTQ])
def test_statistics_that_are_not_finite_are_reported(method, weight, gram):
    gram[0, 0] = torch.inf
    target = Target(0.5, bits=4, zeros=weight > 0, reference=weight)
    with pytest.raises(UserError, match="not finite"):
        method().compress(weight.masked_fill(weight > 0, 0), Statistics(600, {"gram": gram}), target)


def swept(method, weight, gram, target, **settings):
    made = method(method.parse_parameters({"group_size": GROUP, **settings}))
    return made.compress(weight.clone(), Statistics(600, {"gram": gram}), target)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("settings", [{}, {"mask_block": 64}, {"group_size": 8, "block_size": 32}, {"group_size": 0}])
@pytest.mark.parametrize("pattern", [None, (2, 4), (4, 8)])
def test_zeros_and_grid_are_both_exact(weight, gram, pattern, settings, symmetric):
    target = Target(0.5, pattern=pattern)
    found = swept(SparseGPT, weight, gram, target, bits=4, symmetric=symmetric, **settings)
    assert int(found.zeros.sum()) == weight.numel() // 2 and not found.weight[found.zeros].any()
    torch.testing.assert_close(found.grid.nearest(found.weight), found.weight)
    if pattern:
        assert (found.zeros.reshape(-1, pattern[1]).sum(1) == pattern[0]).all()


def test_without_pruning_it_equals_gptq(weight, gram):
    joint = swept(SparseGPT, weight, gram, Target(0.0), bits=4)
    alone = swept(GPTQ, weight, gram, Target(0.75, bits=4), order="none")
    torch.testing.assert_close(joint.weight, alone.weight)
    torch.testing.assert_close(joint.grid.scale, alone.grid.scale)


def test_model_keeps_zeros_and_grids_and_footprint_counts_them():
    plain, joint = tiny(), tiny()
    dense = sum(p.numel() for p in plain.parameters()), sum(one.weight.numel() for one in linears(plain))
    shrunk(plain, "sparsegpt", 0.5)
    shrunk(joint, "sparsegpt", 0.5, bits=4, group_size=16)
    for linear in linears(joint):
        assert grid_of(linear.module).bits == 4 and constraint_of(linear.module)
        torch.testing.assert_close(grid_of(linear.module).nearest(linear.weight), linear.weight)
        assert not linear.weight[linear.zeros].any()
    assert all(grid_of(linear.module) is None for linear in linears(plain))
    # A bit a weight says which half is kept; a kept one takes 16 bits or 4, and a scale of 16 bits is for 16 weights.
    assert footprint(plain, *dense).bits_per_weight == pytest.approx(1 + 0.5 * 16, abs=0.05)
    assert footprint(joint, *dense).bits_per_weight == pytest.approx(1 + 0.5 * 4 + 16 / 16, abs=0.05)


@pytest.mark.parametrize(
    ("settings", "pattern", "message"),
    [
        ({"group_size": 10}, None, "Groups of 10 do not divide"),
        ({"group_size": 16, "mask_block": 24}, None, "Groups of 16 inputs overlap the 24 columns"),
        ({"group_size": 2}, "2:4", "Groups of 2 inputs overlap the 4 columns"),
    ],
)
def test_groups_that_do_not_fit_are_rejected(settings, pattern, message):
    with pytest.raises(UserError, match=message):
        shrunk(tiny(), "sparsegpt", 0.5, pattern, bits=4, **settings)
