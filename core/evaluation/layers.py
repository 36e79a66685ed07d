"""Layer reports: the effect of a stage on each linear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.models.parts.blocks import Linear
from core.models.parts.units import Units
from core.results import LayerReport


def report(linear: Linear, **more: Any) -> LayerReport:
    """Return the report of a linear with its sparsity; `more` adds or replaces fields."""
    if "sparsity" not in more:
        more["sparsity"] = (linear.weight == 0).sum().item() / linear.weight.numel()
    known = {"name": linear.name, "block": linear.block, "role": linear.role, "shape": tuple(linear.weight.shape)}
    return LayerReport(**{**known, **more})


def unit_reports(
    units: Units, before: Mapping[str, int], seconds: float = 0.0, more: Mapping[str, dict[str, Any]] | None = None
) -> list[LayerReport]:
    """Return the reports of a block's linears after the removal of units.

    Args:
        units: The units of the block, after the removal.
        before: `units.sizes` before the removal.
        seconds: Duration of the block, divided equally among its linears.
        more: Fields to add or replace, by role.
    """
    each = round(seconds / len(before), 4)
    return [
        report(
            linear,
            **{
                "sparsity": 1 - linear.weight.numel() / before[role],
                "seconds": each,
                **(more or {}).get(role, {}),
            },
        )
        for role, linear in units.linears.items()
    ]


def relative_error(dense: Tensor, compressed: Tensor, sample: Tensor | None, bias: Tensor | None = None) -> float:
    """Return the relative output error |W x - W' x - b|^2 / |W x|^2, or |W - W'|^2 / |W|^2 without a sample.

    Args:
        dense: W, (out, in).
        compressed: W', (out, in).
        sample: Inputs x, (tokens, in).
        bias: b, (out,).
    """
    gap = dense.float() - compressed.float()  # (out, in)
    if sample is None:
        return (gap.square().sum() / dense.float().square().sum()).item()
    inputs = sample.float()
    error = inputs @ gap.T  # (tokens, out)
    if bias is not None:
        error -= bias.float()
    whole = torch.linalg.vector_norm(inputs @ dense.float().T)
    return ((torch.linalg.vector_norm(error) / whole) ** 2).item()
