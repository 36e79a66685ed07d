"""Blocks of GGUF: a linear's own grid keeps its codes and scales, read back by the gguf package."""

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize

from core.methods.find import find_grid
from core.methods.quantised.hqq import fitted
from core.models.parts.grids import Grid
from core.shipping.gguf.support import BITS, bits_per_weight, type_for
from core.shipping.gguf.tensors import encoded, on_grid, type_on

WEIGHT = torch.randn(6, 192, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("group", [32, 64, 192])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("wanted", BITS)
def test_a_symmetric_grid_is_written_exactly(wanted, bits, group):
    grid = find_grid(WEIGHT, bits, group)
    on = grid.nearest(WEIGHT)
    if bits > BITS[wanted]:
        assert type_on(grid, wanted) is None
        return
    kind = type_on(grid, wanted)
    assert kind == f"Q{BITS[wanted]}_0"
    made = on_grid(on.numpy(), grid, kind)
    assert 8 * made.nbytes / WEIGHT.numel() == bits_per_weight(kind)
    assert np.array_equal(dequantize(made, GGMLQuantizationType[kind]), on.numpy())


@pytest.mark.parametrize(
    "grid",
    [
        find_grid(WEIGHT, 4, 32, symmetric=False),
        find_grid(WEIGHT, 3, 64, symmetric=False),
        fitted(WEIGHT, 4, 32, 0.7, 5),
    ],
)
@pytest.mark.parametrize("wanted", ["Q4_0", "Q4_1", "Q5_0"])
def test_an_asymmetric_grid_loses_no_more_than_the_rounding_of_its_minimum(wanted, grid):
    kind = type_on(grid, wanted)
    assert kind == f"Q{BITS[wanted]}_1"
    on = grid.nearest(WEIGHT)
    back = torch.from_numpy(dequantize(on_grid(on.numpy(), grid, kind), GGMLQuantizationType[kind]))
    least = (grid.zero * grid.scale).abs().repeat_interleave(grid.group, 1)  # of which 16 bits round
    assert ((back - on).abs() <= 2**-11 * least + 1e-6).all()


def test_weights_without_an_exact_block_type_are_rounded():
    asymmetric = find_grid(WEIGHT, 8, 32, symmetric=False)
    narrow = find_grid(WEIGHT, 4, 16)
    assert type_on(asymmetric, "Q8_0") is None and type_on(narrow, "Q4_0") is None
    assert type_on(None, "Q4_0") is None and type_on(narrow, "F16") is None
    assert type_for(192, "Q4_0") == "Q4_0" and type_for(200, "Q4_0") == "F16"
    assert encoded(WEIGHT.numpy(), "F16").dtype == np.float16


def test_a_block_of_zeros_is_zero():
    grid = Grid(4, 32, torch.full((2, 1), 2.0**-24))
    assert not dequantize(on_grid(np.zeros((2, 32), np.float32), grid, "Q4_0"), GGMLQuantizationType.Q4_0).any()
