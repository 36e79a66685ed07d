"""One stage applied to a model in memory: plan, walk the blocks, compress each linear, report on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from core.cache.observations import observed
from core.engine.forms import make_walker
from core.engine.walker import Compress
from core.errors import UserError
from core.methods.base import Compressed, Method, Statistics, Target
from core.models.blocks import Linear, find_blocks, select
from core.models.modeling_slimscope import put
from core.models.units import factors_of
from core.progress import Progress
from core.request.stages import check_divides, parse_pattern
from core.results import LayerReport
from core.specs import Stage


def compress_linears(
    model: nn.Module,
    method: Method,
    stage: Stage,
    windows: Tensor | None,
    device: torch.device,
    progress: Progress,
    before: str | None = None,
) -> list[LayerReport]:
    """Compress the selected linears of the model in place, one by one, and return one report a linear.

    `windows` (N, L) are the calibration tokens of a method that reads activations. `before` is the key of the variant
    that the model is; with it, what a method observes of the whole model is kept for other ratios. Raises `UserError`
    where the stage does not fit the model, before anything is changed.
    """
    blocks = find_blocks(model)
    linears = select(list(blocks.all_linears()), stage.layers, len(blocks.holder))
    target = Target(stage.ratio, parse_pattern(stage.pattern) if stage.pattern else None)
    if stage.pattern:
        for linear in linears:
            check_divides(stage.pattern, linear.weight.shape[1], linear.name)

    def walk(visit: Compress, after: Callable[[int], None] | None = None) -> None:
        if method.needs_calibration:
            sequential = method.parameters.true_sequential
            make_walker(model, blocks, windows, method.needs_of, device, linears, sequential).walk(
                linears, visit, after
            )
            return
        for linear in linears:
            visit(linear, None, None)
        for index in dict.fromkeys(linear.block for linear in linears if after):
            after(index)

    observed_here = {}
    if method.observations:
        look = partial(_observe, method, walk, len(linears), progress)
        observed_here = observed(before, stage, method.observations, look)
    plan = method.plan({linear.name: linear.weight for linear in linears}, target, observed_here)
    work = _Work(model, method, target, plan, len(linears), progress)
    walk(work.compress, work.finish)
    missed = {linear.name for linear in linears} - {report.name for report in work.reports}
    if missed:
        raise UserError(
            f"{len(missed)} linears never saw an activation ({min(missed)} first), so they were not compressed."
        )
    return work.reports


def _observe(method: Method, walk: Callable[[Compress], None], total: int, progress: Progress) -> dict[str, Tensor]:
    """Return what the method wants to know of each linear, before any is changed."""
    found: dict[str, Tensor] = {}

    def look(linear: Linear, statistics: Statistics | None, sample: Tensor | None) -> None:
        found[linear.name] = method.observe(linear.weight.float(), statistics).cpu()
        progress("observe", len(found), total, linear.name)

    walk(look)
    return found


@dataclass
class _Work:
    """Compresses linears one after the other and writes the layer report."""

    model: nn.Module
    method: Method
    target: Target
    plan: dict[str, Any]
    total: int
    progress: Progress

    def __post_init__(self) -> None:
        self.reports: list[LayerReport] = []
        self.factors: dict[int, list[tuple[Linear, Tensor, Tensor]]] = {}  # by block

    def compress(self, linear: Linear, statistics: Statistics | None, sample: Tensor | None) -> None:
        started = time.perf_counter()
        dense = linear.weight.float()  # a copy only where the model is not fp32
        result: Compressed = self.method.compress(
            linear.weight.to(torch.float32, copy=True), statistics, self.target, self.plan.get(linear.name)
        )
        error = relative_error(dense, result.weight, sample)
        linear.set_weight(result.weight)
        if result.factors:
            self.factors.setdefault(linear.block, []).append((linear, *result.factors))
            removed = 1 - sum(factor.numel() for factor in result.factors) / dense.numel()
        else:
            removed = (result.weight == 0).sum().item() / result.weight.numel()
        self.reports.append(
            LayerReport(
                name=linear.name,
                block=linear.block,
                role=linear.role,
                shape=tuple(dense.shape),
                sparsity=removed,
                error=error,
                error_kind="weight" if sample is None else "output",
                damping=result.damping,
                seconds=round(time.perf_counter() - started, 4),
                note=result.note,
            )
        )
        self.progress("compress", len(self.reports), self.total, linear.name)

    def finish(self, block: int) -> None:
        """Put the factors into the place of their linears once the block has run."""
        for linear, left, right in self.factors.pop(block, ()):
            put(self.model, linear.name, factors_of(linear, left, right))


def relative_error(dense: Tensor, compressed: Tensor, sample: Tensor | None) -> float:
    """Return |(W - W') x|^2 / |W x|^2 summed over sampled inputs (tokens, in); |W - W'|^2 / |W|^2 without any."""
    gap = dense - compressed  # (out, in)
    if sample is None:
        return (gap.square().sum() / dense.square().sum()).item()
    inputs = sample.float()
    outputs = torch.linalg.vector_norm(inputs @ dense.T)
    return ((torch.linalg.vector_norm(inputs @ gap.T) / outputs) ** 2).item()
