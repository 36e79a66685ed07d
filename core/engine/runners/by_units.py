"""Removal of attention heads and FFN channels: observe, allocate per block, choose units, shrink the matrices.

In sequential calibration a block keeps its shape until it has run. Until then, the linears that read removed units
have zeros in those columns and the method's compensation (scale, bias). This gives the same output as the smaller
matrices.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.progress import Progress
from core.cache.shelf import changing
from core.context import Context, StageInput, StageResult
from core.engine.walking.observe import collect_block_views
from core.engine.walking.walker import make_walker
from core.evaluation.layers import ReportFields, relative_error, unit_reports
from core.methods.linear import Statistics
from core.methods.structured.base import ChannelChoice, FactoredUnitMethod, HeadChoice, StructuredBlockView, UnitMethod
from core.methods.structured.budget import Removal
from core.models.modeling_slimscope import put
from core.models.parts.blocks import Linear
from core.models.parts.constraints import apply_constraint, clear_constraint
from core.models.parts.reference import rescaled, scale_reference
from core.models.removal.units import KeptUnits, check_channels, check_heads, factors_of, head_norms, spread
from core.results import LayerReport


def remove_units(model: PreTrainedModel, method: UnitMethod, given: StageInput, context: Context) -> StageResult:
    """Remove heads and channels from all blocks in place; raise `UserError` if the method does not fit the model."""
    views = collect_block_views(model, method, given, context, method.parameters.attention)
    if not given.share:
        return StageResult([])
    _Work.check(views)
    work = _Work(method, views, method.allocate(views, given.share), [], context.progress)
    for index in range(len(views)):
        with changing(context.shelf, given.blocks.holder[index]):
            work.choose_heads(index, None)
            work.choose_channels(index, None)
            work.finish(index)
    return StageResult(work.reports)


def remove_units_walking(
    model: PreTrainedModel, method: UnitMethod, given: StageInput, context: Context
) -> StageResult:
    """Remove heads or factor attention, and remove channels, each block on the output of the shrunk ones before it."""
    kind = _FactoringWork if isinstance(method, FactoredUnitMethod) else _Work
    views = collect_block_views(model, method, given, context, method.parameters.attention)
    if not given.share:
        return StageResult([])
    kind.check(views)
    work = kind(method, views, method.allocate(views, given.share), given.reports, context.progress)
    linears = [linear for view in views for linear in view.units.linears.values()]
    walker = make_walker(
        model,
        given.blocks,
        given.calibration,
        method.sums,
        context,
        linears,
        method.true_sequential,
        finished=given.finished,
    )
    # A norm over all heads divides by a mean that masked heads change.
    heads = any(removal.steps for removal in work.removals)
    again = heads and any(head_norms(view.units, role) for view in views for role in "qk")
    walker.walk(linears, work.compress, work.finish, again)
    return StageResult(work.reports)


@dataclass
class _Work:
    """Choice and removal of units, block by block, with the layer report."""

    method: UnitMethod
    views: Sequence[StructuredBlockView]
    removals: Sequence[Removal]
    reports: list[LayerReport]
    progress: Progress

    def __post_init__(self) -> None:
        self.heads: dict[int, HeadChoice] = {}
        self.cut: dict[int, ChannelChoice] = {}
        self.report_fields: dict[str, ReportFields] = {}  # by linear name
        self.started = time.perf_counter()
        self.progress("compress", 0, len(self.views), "")

    @staticmethod
    def check(views: Sequence[StructuredBlockView]) -> None:
        """Raise `UserError` if heads or channels cannot be removed."""
        for view in views:
            check_heads(view.units)

    def compress(self, linear: Linear, statistics: Statistics, sample: Tensor | None) -> None:
        """Store a linear's statistics; at `o` and `down`, choose the block's units and mask the others."""
        self.views[linear.block].inputs[linear.role] = statistics
        if linear.role == "o":
            self.choose_heads(linear.block, sample)
        elif linear.role == "down":
            self.choose_channels(linear.block, sample)

    def choose_heads(self, block: int, sample: Tensor | None) -> None:
        view, steps = self.views[block], self.removals[block].steps
        if not steps:
            return
        choice = self.heads[block] = self.method.heads(view, steps)
        columns = spread(choice.query_heads, view.shape.head_dim)
        self._mask(view.units.linears["o"], columns, choice.scale, choice.bias, sample)

    def choose_channels(self, block: int, sample: Tensor | None) -> None:
        view, count = self.views[block], self.removals[block].channels
        if not count:
            return
        choice = self.cut[block] = self.method.channels(view, count)
        self._mask(view.units.linears["down"], choice.channels, choice.scale, choice.bias, sample)

    def _mask(
        self, linear: Linear, columns: Tensor, scale: Tensor | None, bias: Tensor | None, sample: Tensor | None
    ) -> None:
        """Zero all columns but the given ones, and apply the compensation."""
        source = linear.weight
        if scale is not None:
            source = rescaled(source, scale)
            scale_reference(linear.module, scale)
        masked = torch.zeros_like(linear.weight)
        columns = columns.to(masked.device)
        masked[:, columns] = source[:, columns].to(masked.dtype)
        self._replace(linear, masked, bias, sample)

    def _replace(self, linear: Linear, weight: Tensor, bias: Tensor | None, sample: Tensor | None) -> None:
        if sample is not None:
            self.report_fields[linear.name] = {
                "error": relative_error(linear.weight, apply_constraint(linear.module, weight), sample, bias)
            }
        linear.set_weight(weight)
        if bias is not None:
            add_bias(linear.plain, bias)

    def finish(self, block: int) -> None:
        """Shrink a block that has run to its final shape."""
        view = self.views[block]
        before = view.units.sizes
        heads, cut = self.heads.get(block), self.cut.get(block)
        view.units.shrink(
            KeptUnits(
                query_heads=heads.query_heads if heads else None,
                kv_heads=heads.kv_heads if heads else None,
                channels=cut.channels if cut else None,
            )
        )
        more = {role: self.report_fields.get(linear.name, {}) for role, linear in view.units.linears.items()}
        self.reports += unit_reports(view.units, before, time.perf_counter() - self.started, more)
        self.reshape(view)
        view.inputs.clear()
        view.gradients.clear()
        self.started = time.perf_counter()
        self.progress("compress", block + 1, len(self.views), f"block {block + 1} of {len(self.views)}")

    def reshape(self, view: StructuredBlockView) -> None:
        """Replace linears of the block with modules of another kind."""


class _FactoringWork(_Work):
    """Factorisation of attention's matrices to a lower rank, and removal of channels."""

    method: FactoredUnitMethod

    def __post_init__(self) -> None:
        super().__post_init__()
        self.factors: dict[str, tuple[Tensor, Tensor]] = {}  # by linear name

    @staticmethod
    def check(views: Sequence[StructuredBlockView]) -> None:
        """Raise `UserError` if channels cannot be removed; any heads will do, as none is."""
        for view in views:
            check_channels(view.units)

    def compress(self, linear: Linear, statistics: Statistics, sample: Tensor | None) -> None:
        super().compress(linear, statistics, sample)
        rank = self.removals[linear.block].ranks.get(linear.role)
        if rank is None:
            return
        left, right = self.factors[linear.name] = self.method.factor(self.views[linear.block], linear.role, rank)
        size = linear.weight.numel()
        clear_constraint(linear.module)
        self._replace(linear, left.double() @ right.double(), None, sample)
        sparsity = 1 - (left.numel() + right.numel()) / size
        self.report_fields[linear.name] |= {"sparsity": sparsity, "note": f"rank {rank}"}

    def reshape(self, view: StructuredBlockView) -> None:
        inside = view.units.linears["o"].name.rpartition(".")[0] + "."  # of attention, before any is replaced
        for linear in view.units.linears.values():
            if factors := self.factors.pop(linear.name, None):
                put(view.units.attention, linear.name.removeprefix(inside), factors_of(linear, *factors))


def add_bias(module: nn.Linear, bias: Tensor) -> None:
    """Add `bias` (out,) to a linear's bias, or set it if the linear has none."""
    old = module.bias.data if module.bias is not None else 0
    weight = module.weight
    module.bias = nn.Parameter((bias.to(weight) + old).to(weight.dtype), weight.requires_grad)
