"""What stages say of the grid that a variant's weights lie on; imports nothing that computes."""

from __future__ import annotations

from core.methods.terms import Place
from core.registry import build_method
from core.results import Variant
from core.specs import VariantSpec, parse_bits


def last_grid(variant: Variant | VariantSpec, place: Place = "linears") -> tuple[float, int] | None:
    """Return the bits, or their mean, and the group size (0: the whole row) of the last stage that rounds the linears,
    or the tables; None without one.
    """
    for stage in reversed(variant.stages):
        method = build_method(stage)
        if place not in method.quantised_places:
            continue
        settings = method.parameters
        bits = parse_bits(stage.pattern or "") or getattr(settings, "bits", None)
        if bits and (group := getattr(settings, "group_size", None)) is not None:
            return bits, group
    return None
