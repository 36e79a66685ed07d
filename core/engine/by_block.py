"""A structured method applied to a model in memory: observe, allot each block its loss, choose units, slice.

Inside a walk a block keeps its shape until it has run: what reads the removed units has their columns zeroed and its
recovery in place, which gives the same output, and the matrices are sliced afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from core.cache.observations import observed
from core.engine.by_rotation import rotate
from core.engine.forms import make_walker
from core.engine.observe import Look
from core.methods.base import Statistics
from core.methods.structured.base import ChannelChoice, HeadChoice, Structured, View
from core.methods.structured.budget import Removal
from core.methods.structured.report import layer_reports
from core.models.blocks import Blocks, Linear, find_blocks
from core.models.depth import keep_blocks, keep_hidden
from core.models.units import Kept, check_heads, factors_of, find_units, spread
from core.progress import Progress
from core.results import LayerReport
from core.specs import Stage


def shrink(
    model: nn.Module,
    method: Structured,
    stage: Stage,
    windows: Tensor | None,
    device: torch.device,
    progress: Progress,
    before: str | None = None,
) -> list[LayerReport]:
    """Make the model smaller in place and return one report a linear.

    `windows` (N, L) are calibration tokens, `before` the key of the variant that the model is, if it has one. Raises
    `UserError` where the method does not fit the model, before anything is changed.
    """
    blocks = find_blocks(model)
    mode = getattr(method.parameters, "attention", "auto")
    views = [View(find_units(blocks, index, mode)) for index in range(len(blocks.holder))]
    if not stage.ratio:
        return []
    if method.observations:
        look = Look(model, method, blocks, views, windows, device, progress)
        look.take(observed(before, stage, method.observations, look.tensors))
    if method.removes == "rotated":
        return rotate(model, blocks, [view.units for view in views], windows, stage.ratio, device, progress)
    if method.removes == "blocks":
        return _drop(model, blocks, views, method.keep_blocks(views, stage.ratio))
    if method.removes == "hidden":
        return _narrow(model, blocks, views, method.keep_hidden(views, stage.ratio))
    if not method.factorises:
        for view in views:
            check_heads(view.units)
    removals = method.allocate(views, stage.ratio)
    work = _Work(method, views, removals, progress)
    if method.walks:
        linears = [linear for view in views for linear in view.units.linears.values()]
        sequential = getattr(method.parameters, "true_sequential", True)
        walker = make_walker(model, blocks, windows, method.needs_of, device, linears, sequential)
        walker.walk(linears, work.compress, work.finish)
    else:
        for index in range(len(views)):
            work.choose_heads(index, None)
            work.choose_channels(index, None)
            work.finish(index)
    return work.reports


def _drop(model: nn.Module, blocks: Blocks, views: Sequence[View], kept: Sequence[int]) -> list[LayerReport]:
    """Keep only some blocks. The report names the linears as they were."""
    keep_blocks(model, blocks, kept)
    gone = {"shape": (0, 0), "sparsity": 1.0, "note": "block removed"}
    reports = []
    for view in views:
        more = {} if view.units.block in kept else dict.fromkeys(view.units.linears, gone)
        reports += layer_reports(view.units, view.units.sizes, more=more)
    return reports


def _narrow(model: nn.Module, blocks: Blocks, views: Sequence[View], kept: Tensor) -> list[LayerReport]:
    """Keep only some entries of the hidden states, in every matrix."""
    before = [view.units.sizes for view in views]
    keep_hidden(model, blocks, kept)
    return [report for view, sizes in zip(views, before, strict=True) for report in layer_reports(view.units, sizes)]


class _Work:
    """Chooses the units of one block after the other, and writes the layer report."""

    def __init__(self, method: Structured, views: Sequence[View], removals: Sequence[Removal], progress: Progress):
        self.method, self.views, self.removals, self.progress = method, views, removals, progress
        self.reports: list[LayerReport] = []
        self.heads: dict[int, HeadChoice] = {}
        self.cut: dict[int, ChannelChoice] = {}
        self.factors: dict[str, tuple[Tensor, Tensor]] = {}  # by name of the linear
        self.errors: dict[str, float] = {}
        self.started = time.perf_counter()

    def compress(self, linear: Linear, statistics: Statistics, sample: Tensor) -> None:
        """Take in a linear's statistics and, where all is known that decides it, give it its final output."""
        self.views[linear.block].inputs[linear.role] = statistics
        if self.method.factorises and linear.role in ("q", "k", "v", "o"):
            self._factor(linear, sample)
        elif linear.role == "o":
            self.choose_heads(linear.block, sample)
        elif linear.role == "down":
            self.choose_channels(linear.block, sample)

    def _factor(self, linear: Linear, sample: Tensor) -> None:
        factors = self.method.factor(self.views[linear.block], linear.role)
        if factors is not None:
            self.factors[linear.name] = factors
            self._replace(linear, factors[0].double() @ factors[1].double(), None, sample)

    def choose_heads(self, block: int, sample: Tensor | None) -> None:
        view, steps = self.views[block], self.removals[block].steps
        if not steps or self.method.factorises:
            return
        choice = self.heads[block] = self.method.heads(view, steps)
        columns = spread(choice.query_heads, view.shape.head_dim)
        self._mask(view.units.linears["o"], columns, choice.weight, choice.bias, sample)

    def choose_channels(self, block: int, sample: Tensor | None) -> None:
        view, count = self.views[block], self.removals[block].channels
        if not count:
            return
        choice = self.cut[block] = self.method.channels(view, count)
        self._mask(view.units.linears["down"], choice.channels, choice.weight, choice.bias, sample)

    def _mask(
        self, linear: Linear, columns: Tensor, weight: Tensor | None, bias: Tensor | None, sample: Tensor | None
    ) -> None:
        """Zero the columns of the units that go, and put the recovery in place."""
        source = linear.weight if weight is None else weight
        masked = torch.zeros_like(linear.weight)
        columns = columns.to(masked.device)
        masked[:, columns] = source[:, columns].to(masked.dtype)
        self._replace(linear, masked, bias, sample)

    def _replace(self, linear: Linear, weight: Tensor, bias: Tensor | None, sample: Tensor | None) -> None:
        if sample is not None:
            self.errors[linear.name] = output_error(linear.weight, weight, bias, sample)
        linear.set_weight(weight)
        if bias is not None:
            add_bias(linear.module, bias)

    def finish(self, block: int) -> None:
        """Give the block its final shape once it has run."""
        view = self.views[block]
        before = view.units.sizes
        heads, cut = self.heads.get(block), self.cut.get(block)
        view.units.shrink(
            Kept(
                query_heads=heads and heads.query_heads,
                kv_heads=heads and heads.kv_heads,
                channels=cut and cut.channels,
            )
        )
        more: dict[str, dict[str, Any]] = {}
        for role, linear in view.units.linears.items():
            more[role] = {"error": self.errors.get(linear.name)}
            if factors := self.factors.get(linear.name):
                left = sum(factor.numel() for factor in factors)
                more[role] |= {"sparsity": 1 - left / before[role], "note": f"rank {factors[0].shape[1]}"}
        self.reports += layer_reports(view.units, before, time.perf_counter() - self.started, more)
        for linear in view.units.linears.values():
            if factors := self.factors.get(linear.name):
                setattr(view.units.attention, linear.name.rpartition(".")[2], factors_of(linear, *factors))
        view.inputs.clear()
        view.gradients.clear()
        self.started = time.perf_counter()
        self.progress("compress", block + 1, len(self.views), f"block {block}")


def add_bias(module: nn.Linear, bias: Tensor) -> None:
    """Add to a linear's bias (out,), giving it one where it has none."""
    old = module.bias.data if module.bias is not None else 0
    weight = module.weight
    module.bias = nn.Parameter((bias.to(weight) + old).to(weight.dtype), weight.requires_grad)


def output_error(dense: Tensor, weight: Tensor, bias: Tensor | None, sample: Tensor) -> float:
    """Return |W x - W' x - b|^2 / |W x|^2 summed over sampled inputs (tokens, in)."""
    inputs = sample.float()
    gap = inputs @ (dense.float() - weight.float()).T
    if bias is not None:
        gap -= bias.float()
    return (gap.norm() / (inputs @ dense.float().T).norm()).square().item()
