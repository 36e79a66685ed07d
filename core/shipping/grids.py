"""What stages say of the grid that a variant's weights lie on; imports nothing that computes."""

from __future__ import annotations

from core.registry import made
from core.results import Variant
from core.specs import VariantSpec, parse_bits


def last_grid(variant: Variant | VariantSpec) -> tuple[int, int] | None:
    """Return the bits and the group size (0: the whole row) of the last stage that rounds weights; None without one."""
    for stage in reversed(variant.stages):
        settings = made(stage).parameters
        bits = parse_bits(stage.pattern or "") or getattr(settings, "bits", None)
        if bits and (group := getattr(settings, "group_size", None)) is not None:
            return bits, group
    return None
