"""The grid of a variant's weights according to its stages; imports nothing that computes."""

from __future__ import annotations

from core.amount import Bits
from core.methods.traits import Trait
from core.registry import build_method
from core.results import Variant
from core.specs import VariantSpec


def last_grid(variant: Variant | VariantSpec, grid: Trait = "grid") -> tuple[float, int] | None:
    """Return bits and group size of the last stage that quantises the linears, or the tables; None without one.

    Bits may be a mean; a group size of 0 is the whole row.
    """
    for stage in reversed(variant.stages):
        method = build_method(stage)
        if grid not in method.leaves:
            continue
        settings = method.parameters
        bits = stage.amount.bits if isinstance(stage.amount, Bits) else getattr(settings, "bits", None)
        if bits and (group := getattr(settings, "group_size", None)) is not None:
            return bits, group
    return None
