"""Layer reports: the effect of a stage on each linear."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict, Unpack

import torch
from torch import Tensor

from core.models.parts.blocks import Linear
from core.models.removal.units import Units
from core.results import LayerReport

FEW = "calibrated on all tokens of its layer"


class ReportFields(TypedDict, total=False):
    """Fields of a report that follow from the stage."""

    shape: tuple[int, int]
    sparsity: float
    error: float | None
    error_kind: Literal["output", "weight"]
    bits: int | None
    damping: float | None
    seconds: float
    note: str | None


def report(linear: Linear, **more: Unpack[ReportFields]) -> LayerReport:
    """Return the report of a linear with its sparsity; `more` adds or replaces fields."""
    if "sparsity" not in more:
        more["sparsity"] = (linear.weight == 0).sum().item() / linear.weight.numel()
    if "shape" not in more:
        outputs, inputs = linear.weight.shape
        more["shape"] = outputs, inputs
    return LayerReport(name=linear.name, block=linear.block, role=linear.role, **more)


def few_tokens(routed: int, *others: str | None) -> str:
    """Return the note on a linear of an expert whose router sent it too few tokens, with its other notes."""
    return "; ".join(filter(None, (f"{FEW}, as its router sent it only {routed}", *others)))


def few_tokens_note(reports: Sequence[LayerReport]) -> str | None:
    """Return a note on the experts that got too few tokens, for the whole stage; None if there are none."""
    few = dict.fromkeys(one.name.rpartition(".")[0] for one in reports if (one.note or "").startswith(FEW))
    if not few:
        return None
    return f"too few tokens for experts: {len(few)}, such as {next(iter(few))}; they were {FEW.replace('its', 'their')}"


def unit_reports(
    units: Units, before: Mapping[str, int], seconds: float = 0.0, more: Mapping[str, ReportFields] | None = None
) -> list[LayerReport]:
    """Return the reports of a block's linears after the removal of units.

    `before` has `units.sizes` before the removal, and `more` the fields to add or replace by role. Each linear gets an
    equal part of the block's `seconds`.
    """
    each = round(seconds / len(before), 4)
    reports = []
    for role, linear in units.linears.items():
        fields: ReportFields = {"sparsity": 1 - linear.weight.numel() / before[role], "seconds": each}
        fields |= (more or {}).get(role, {})
        reports.append(report(linear, **fields))
    return reports


def relative_error(dense: Tensor, compressed: Tensor, sample: Tensor | None, bias: Tensor | None = None) -> float:
    """Return the relative output error |W x - W' x - b|^2 / |W x|^2, or |W - W'|^2 / |W|^2 without a sample.

    W is `dense` and W' `compressed`, (out, in) each; the inputs x are (tokens, in) and the bias b is (out,).
    """
    gap = dense.float() - compressed.float()  # (out, in)
    if sample is None:
        return (gap.square().sum() / dense.float().square().sum()).item()
    inputs = sample.float()
    error = inputs @ gap.T  # (tokens, out)
    if bias is not None:
        error -= bias.float()
    whole = torch.linalg.vector_norm(inputs @ dense.float().T)
    return float(((torch.linalg.vector_norm(error) / whole) ** 2).item())
