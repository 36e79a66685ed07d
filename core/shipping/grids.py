"""What stages say of the grid that a variant's weights lie on; imports nothing that computes."""

from __future__ import annotations

from core.methods.quantised.base import Quantised
from core.registry import made
from core.results import Variant
from core.specs import VariantSpec, parse_bits


def last_grid(variant: Variant | VariantSpec) -> tuple[int, int] | None:
    """Return the bits and the group size (0: the whole row) of the last stage that rounds weights; None without one."""
    for stage in reversed(variant.stages):
        method = made(stage)
        if isinstance(method, Quantised) and (bits := parse_bits(stage.pattern or "")):
            return bits, method.parameters.group_size
    return None
