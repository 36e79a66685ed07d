"""The layer report of a block whose linears changed their shape."""

from collections.abc import Mapping
from typing import Any

from core.models.units import Units
from core.results import LayerReport


def layer_reports(
    units: Units, before: Mapping[str, int], seconds: float = 0.0, more: Mapping[str, dict[str, Any]] | None = None
) -> list[LayerReport]:
    """Return a report for each linear of a block that took `seconds`.

    `before` are `units.sizes` as they were; `more`, by role, is what a report says besides or instead.
    """
    return [
        LayerReport(
            **{
                "name": linear.name,
                "block": units.block,
                "role": role,
                "shape": tuple(linear.weight.shape),
                "sparsity": 1 - linear.weight.numel() / before[role],
                "seconds": round(seconds / len(before), 4),
                **(more or {}).get(role, {}),
            }
        )
        for role, linear in units.linears.items()
    ]
