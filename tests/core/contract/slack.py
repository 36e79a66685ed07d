"""The number of weights by which a method may miss the ratio: it removes whole weights, ranks, channels or blocks."""

from __future__ import annotations

from collections.abc import Sequence

from core.methods.base import Method
from core.methods.linear import LinearMethod
from core.methods.lowrank.base import LowRank
from core.methods.structured.base import BlockRemovalMethod, HiddenSizeMethod, SliceMethod, UnitMethod
from core.methods.structured.experts import ExpertMethod
from core.methods.unstructured.alps import ALPS
from core.methods.unstructured.base import ScoreMethod
from core.methods.unstructured.obs import OBS
from core.methods.unstructured.sparsegpt import SparseGPT
from core.models.parts.blocks import find_blocks
from core.models.removal.geometry import Geometry
from core.models.removal.units import find_units, whole_block
from core.training.base import TrainPruneMethod
from tests.core.contract.ground import BLOCKS, Made

Sizes = Sequence[tuple[int, int]]  # (out, in) of linears


def _rows(method: Method, unit: Geometry, sizes: Sizes) -> float:
    return sum(outputs for outputs, _ in sizes) / 2


def _weights(method: Method, unit: Geometry, sizes: Sizes) -> float:
    by_row = isinstance(method, ScoreMethod) and method.comparison_group == "row"
    return _rows(method, unit, sizes) if by_row else len(sizes) / 2


def _trained(method: Method, unit: Geometry, sizes: Sizes) -> float:
    return len(sizes) / 2 if method.ratio_kind == "sparsity" else unit.channel_weights


# Given the method, a dense block's geometry and the linears in question. A method of another kind needs its own line.
SLACK = {
    ScoreMethod: _weights,
    SparseGPT: _weights,
    OBS: _weights,
    ALPS: _weights,
    LowRank: lambda method, unit, sizes: max(outputs + inputs for outputs, inputs in sizes),  # a rank
    LinearMethod: _rows,
    UnitMethod: lambda method, unit, sizes: unit.channel_weights,
    BlockRemovalMethod: lambda method, unit, sizes: unit.weights / 2,
    # Half of one of eight experts of every block, whose linears alone have other sizes than attention's.
    ExpertMethod: lambda method, unit, sizes: sum(out * inp for out, inp in sizes if 48 in (out, inp)) / 8 / 2,
    HiddenSizeMethod: lambda method, unit, sizes: BLOCKS * unit.weights / unit.hidden / 2,
    # Half a column of every block, whose two shortcuts are width x width.
    SliceMethod: lambda method, unit, sizes: BLOCKS * (unit.weights / unit.hidden + 4 * unit.hidden) / 2,
    TrainPruneMethod: _trained,
}


def slack(made: Made, sizes: Sizes) -> float:
    """Return by how many weights the share of linears of these sizes may be missed."""
    method = made.method
    kind = next(base for base in type(method).__mro__ if base in SLACK)
    unit = whole_block(find_blocks(made.ground.dense), 0).geometry
    if kind is not ExpertMethod:
        unit = find_units(find_blocks(made.ground.dense), 0).geometry
    return SLACK[kind](method, unit, sizes) + 1e-6
