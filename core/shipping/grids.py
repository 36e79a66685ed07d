"""The grid of a variant's weights according to its stages; imports nothing that computes."""

from __future__ import annotations

from typing import NamedTuple

from core.amount import Bits
from core.methods.traits import Trait
from core.registry import build_method
from core.results import Variant
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


def grid_bytes(grid: LastGrid | None, weights: float, each: float) -> float:
    """Return the bytes of the scales and zero points of so many weights, of `each` bytes; those of rows are few."""
    return 0.0 if grid is None or not grid.group else each * (1 + grid.zeros) * weights / grid.group
