"""The grid of a variant's weights according to its stages; imports nothing that computes."""

from __future__ import annotations

from typing import NamedTuple

from core.amount import Bits
from core.methods.traits import Trait
from core.models.shape import ModelShape
from core.registry import build_method
from core.results import Variant
from core.shipping.base import Counted
from core.specs import VariantSpec


class LastGrid(NamedTuple):
    """A grid as its stage declares it."""

    bits: float  # of a code; may be a mean
    group: int  # inputs that share a scale; 0: the whole row
    zeros: bool  # whether a group has a zero point, too


def last_grid(variant: Variant | VariantSpec, grid: Trait = "grid") -> LastGrid | None:
    """Return the grid of the last stage that quantises the linears, or the tables; None without one."""
    for stage in reversed(variant.stages):
        method = build_method(stage)
        if grid not in method.leaves:
            continue
        settings = method.parameters
        bits = stage.amount.bits if isinstance(stage.amount, Bits) else getattr(settings, "bits", None)
        if bits and (group := getattr(settings, "group_size", None)) is not None:
            return LastGrid(bits, group, not getattr(settings, "symmetric", False))
    return None


def grid_bytes(grid: LastGrid | None, weights: float, rows: float, each: float) -> float:
    """Return the bytes of the scales and zero points of matrices with so many weights and rows, of `each` bytes."""
    if grid is None:
        return 0.0
    return each * (1 + grid.zeros) * (weights / grid.group if grid.group else rows)


def linear_rows(shape: ModelShape, counted: Counted) -> float:
    """Return the rows of the block linears of a variant, if each lost the same share of its dense rows."""
    return sum(rows * count for rows, _, count in shape.matrices) * counted.block_weights / max(shape.block_weights, 1)


def hidden_width(variant: Variant | VariantSpec, shape: ModelShape, counted: Counted) -> int:
    """Return the width of a variant's hidden states, which narrows embeddings and norms like all that reads them."""
    if all(build_method(stage).kind != "hidden size" for stage in variant.stages):
        return shape.hidden
    others = counted.model_parameters - counted.block_weights
    return round(shape.hidden * others / (shape.parameters - shape.block_weights))
