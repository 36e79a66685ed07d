"""What a stage did to a linear, as the layer report says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.models.parts.blocks import Linear
from core.models.parts.units import Units
from core.results import LayerReport


def report(linear: Linear, **more: Any) -> LayerReport:
    """Return the report of a linear as it is: its zeros, and what `more` says besides or instead."""
    if "sparsity" not in more:
        more["sparsity"] = (linear.weight == 0).sum().item() / linear.weight.numel()
    known = {"name": linear.name, "block": linear.block, "role": linear.role, "shape": tuple(linear.weight.shape)}
    return LayerReport(**{**known, **more})


def unit_reports(
    units: Units, before: Mapping[str, int], seconds: float = 0.0, more: Mapping[str, dict[str, Any]] | None = None
) -> list[LayerReport]:
    """Return a report for each linear of a block that took `seconds` and lost units.

    `before` are `units.sizes` as they were; `more`, by role, is what a report says besides or instead.
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
    """Return |W x - W' x - b|^2 / |W x|^2 over sampled inputs (tokens, in); |W - W'|^2 / |W|^2 without any."""
    gap = dense.float() - compressed.float()  # (out, in)
    if sample is None:
        return (gap.square().sum() / dense.float().square().sum()).item()
    inputs = sample.float()
    missed = inputs @ gap.T  # (tokens, out)
    if bias is not None:
        missed -= bias.float()
    whole = torch.linalg.vector_norm(inputs @ dense.float().T)
    return ((torch.linalg.vector_norm(missed) / whole) ** 2).item()
