"""One stage applied to a model in memory: plan, walk the blocks, compress each linear, report on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from core.engine.observations import observed
from core.engine.walker import Compress, Form, Walker
from core.errors import UserError
from core.methods.base import Compressed, Method, Needs, Statistics, Target
from core.models.blocks import Blocks, Linear, execution_device, find_blocks, select, sliding_window
from core.models.modeling_slimscope import put
from core.models.units import factors_of
from core.progress import Progress
from core.registry import get_method
from core.request.stages import check_divides, parse_parameters
from core.results import LayerReport
from core.specs import Stage, parse_pattern

MEMORY_SHARE = 0.5  # of the free memory that a walk's live activations may take


def compress(
    model: nn.Module,
    stage: Stage,
    windows: Tensor | None,
    device: str,
    progress: Progress,
    before: str | None = None,
) -> list[LayerReport]:
    """Apply a stage to the model in place and return one report a linear.

    `windows` (N, L) are the calibration tokens of a method that reads activations. `before` is the key of the variant
    that the model is; with it, what a method observes of the whole model is kept for other ratios. Raises `UserError`
    where the stage does not fit the model, before anything is changed.
    """
    found = get_method(stage.method)
    if found.family == "dense":
        return []
    method = found(parse_parameters(found, stage.parameters), stage.seed)
    if method.scope != "linear":
        from core.engine.by_block import shrink

        return shrink(model, method, stage, windows, execution_device(device), progress, before)
    blocks = find_blocks(model)
    linears = select(list(blocks.all_linears()), stage.layers, len(blocks.holder))
    target = Target(stage.ratio, parse_pattern(stage.pattern) if stage.pattern else None)
    if stage.pattern:
        for linear in linears:
            check_divides(stage.pattern, linear.weight.shape[1], linear.name)
    where = execution_device(device)

    def walk(visit: Compress, after: Callable[[int], None] | None = None) -> None:
        if method.needs_calibration:
            sequential = method.parameters.true_sequential
            make_walker(model, blocks, windows, method.needs_of, where, linears, sequential).walk(linears, visit, after)
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


def make_walker(
    model: nn.Module,
    blocks: Blocks,
    windows: Tensor,
    needs: Callable[[str], Needs],
    device: torch.device,
    linears: list[Linear],
    true_sequential: bool = True,
) -> Walker:
    """Return a walker in the form that suits the memory at hand, proven to give what the model itself computes."""
    form, batch = choose_form(model, linears, windows, device)
    walker = Walker(model, blocks, windows, needs, device, form, batch, true_sequential)
    walker.recorder.check(_check_window(model, windows))
    return walker


def _check_window(model: nn.Module, windows: Tensor) -> Tensor:
    """Return (1, length) calibration tokens, longer than any sliding window that the model's positions allow."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", windows.numel())
    length = min(max(64, (sliding_window(model) or 0) + 8), limit, windows.numel())
    return windows.flatten()[None, :length]


def choose_form(model: nn.Module, linears: list[Linear], windows: Tensor, device: torch.device) -> tuple[Form, int]:
    """Return the walker's form and micro-batch for the memory at hand.

    On a CPU one window at a time is fastest, its activations staying in cache; on a GPU as many as fit a sixteenth of
    its memory. Micro-batches hold the live activations of every window of one block: where these do not fit, `spill`.
    """
    width = sum(
        linear.weight.shape[0] + linear.weight.shape[1] for linear in linears if linear.block == linears[0].block
    )
    item = next(model.parameters()).element_size()
    needed = windows.numel() * width * item
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        batch = max(1, min(len(windows), int(free / 16 / (windows.shape[1] * width * item))))
    else:
        free, batch = psutil.virtual_memory().available, 1
    return ("micro" if needed < MEMORY_SHARE * free else "spill"), batch


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
