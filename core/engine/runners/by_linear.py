"""Compression of the linears of a model in place, one by one or all of a block together, with the layer report."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.amount import Pattern
from core.base.errors import UserError
from core.base.progress import Progress
from core.cache.observations import Tensors, observed
from core.context import Context, StageInput, StageResult
from core.engine.amounts import Allotment, allot, target_of
from core.engine.scan import group_linears, measure_sensitivity
from core.engine.walking.collector import SumsOf
from core.engine.walking.observe import KeptObservations, gather_gradients
from core.engine.walking.walker import Compress, make_walker
from core.evaluation.layers import ReportFields, few_tokens, few_tokens_note, relative_error, report
from core.methods.linear import LinearMethod, Statistics, Target
from core.methods.quantised.base import BlockQuantMethod, BlockView
from core.models.modeling_slimscope import put
from core.models.parts.blocks import Blocks, Linear, by_block, find_blocks, select
from core.models.parts.constraints import apply_constraint, clear_constraint, constraint_of, set_constraint
from core.models.parts.finished import KeptBlocks, changing_block
from core.models.parts.grids import set_grid
from core.models.parts.reference import clear_reference, resolve_reference, set_reference
from core.models.removal.units import factors_of
from core.models.sources import load_model
from core.request.stages import check_divides
from core.results import LayerReport


def compress_linears(model: PreTrainedModel, method: LinearMethod, given: StageInput, context: Context) -> StageResult:
    """Compress the selected linears of the model in place, one by one.

    Raises `UserError` if the stage does not fit the model, which stays unchanged, or some linears received no input.
    """
    stage, progress = given.stage, context.progress
    blocks = given.blocks
    linears = select(list(blocks.all_linears()), stage.layers, len(blocks.holder))
    share = given.share if method.takes_amount else 0.0
    target = target_of(stage, share)
    if isinstance(stage.amount, Pattern):
        for linear in linears:
            check_divides(stage.amount, linear.weight.shape[1], linear.name)

    def walk(
        sums: SumsOf, visit: Compress, after: Callable[[int], None] | None = None, kept: KeptBlocks | None = None
    ) -> None:
        finished = given.finished if after else kept
        if any(sums(linear.role) for linear in linears):
            order = method.true_sequential, after is None
            walker = make_walker(model, blocks, given.calibration, sums, context, linears, *order, finished)
            walker.walk(linears, visit, after)
            return
        start = finished.restore(blocks)[0] if finished else 0
        for index, members in by_block(linears).items():
            if index < start:
                continue
            with changing_block(blocks, index, context.shelf if after else None, finished):
                for linear in members:
                    visit(linear, Statistics(0, {}), None)
                if after:
                    after(index)

    def observe(name: str | None) -> Tensors:
        if not method.observes_gradients:
            return _observe(method, linears, partial(walk, method.observed_sums), progress, name)
        accumulators = {linear: method.accumulator() for linear in linears}
        gather_gradients(model, accumulators, given.calibration, context, name)
        return {linear.name: tensor for linear, one in accumulators.items() for tensor in one.tensors().values()}

    observations: Tensors = {}
    if method.observations:
        observations = observed(given.input_key, stage, method.observations, observe)
    elif method.needs_sensitivity:
        rises = measure_sensitivity(model, method.uniform, target, linears, given, context)
        parts = group_linears(linears, blocks, "block")
        observations = {one.name: torch.tensor(rises[part]).mean() for part in parts for one in parts[part]}
    shared = blocks.shared  # before factors replace some of them
    counts = method.takes_amount and method.ratio_kind == "sparsity" and not target.pattern
    chained = share != stage.ratio or any(constraint_of(linear.module) for linear in linears)
    allotted = allot(method, linears, target, observations, counts and chained)
    dense = dense_weights(context, str(model.dtype).removeprefix("torch."))
    work = _Work(model, method, target, allotted, dense, given.reports, len(linears), blocks, progress)
    walk(method.required_statistics, work.compress, work.finish)
    if unused := {linear.name for linear in linears} - {done.name for done in work.reports}:
        raise _without_input(unused, unused & shared)
    return StageResult(work.reports, note=few_tokens_note(work.reports))


def _without_input(unused: set[str], shared: set[str]) -> UserError:
    """Return the error on linears that received no input, of which some are `shared` by layers."""
    failed = f"{len(unused)} linears received no input and were not compressed, such as {min(shared or unused)}"
    if shared:
        return UserError(
            f"{failed}. Several layers share this block, and the linear belongs to another of them; choose rtn, "
            "shortgpt or another model."
        )
    return UserError(f"{failed}; use more calibration data, or select other layers.")


def _observe(
    method: LinearMethod, linears: Sequence[Linear], walk: Callable[..., None], progress: Progress, name: str | None
) -> Tensors:
    """Return the method's observation of each linear by name, before any linear is changed.

    An interrupted pass of this `name` is resumed.
    """
    observations: Tensors = {}
    total = len(linears)

    def observe(linear: Linear, statistics: Statistics, sample: Tensor | None) -> None:
        # Linears with the same input share their sums, but a file cannot store a shared tensor twice.
        observations[linear.name] = method.observe(linear.weight.float(), statistics).cpu().clone()
        progress("observe", len(observations), total, linear.name)

    progress("observe", 0, total, "")
    walk(observe, kept=KeptObservations(name, observations) if name else None)
    return observations


def dense_weights(context: Context, dtype: str) -> Callable[[str], Tensor]:
    """Return a function from the name of a linear to its weight (out, in) in the dense model, loaded at first use."""

    @cache
    def linears() -> dict[str, Linear]:
        if context.dense is None:
            raise TypeError("The context has no dense model, which this stage needs as reference.")
        model = load_model(context.dense, dtype, progress=context.progress, mapped=context.shelf is not None)
        return {linear.name: linear for linear in find_blocks(model).all_linears()}

    return lambda name: linears()[name].weight


@dataclass
class _Work:
    """Compression of linears one by one, with the layer report."""

    model: PreTrainedModel
    method: LinearMethod
    target: Target
    allotted: Allotment
    dense: Callable[[str], Tensor]  # weight of a linear of the dense model
    reports: list[LayerReport]
    total: int
    blocks: Blocks
    progress: Progress

    def __post_init__(self) -> None:
        self.factors: dict[int, list[tuple[Linear, Tensor, Tensor]]] = {}  # by block
        self.progress("compress", 0, self.total, "")

    def compress(self, linear: Linear, statistics: Statistics, sample: Tensor | None) -> None:
        started = time.perf_counter()
        before = linear.weight.float()  # copies only if the model is not fp32
        target = self._target(linear)
        if self.method.draws:
            statistics = replace(statistics, generator=self.method.generator(linear.name))
        result = self.method.compress(
            linear.weight.to(torch.float32, copy=True), statistics, target, self.allotted.plan.get(linear.name)
        )
        if result.factors:
            clear_constraint(linear.module)
        reference = before if target.reference is None else target.reference
        error = relative_error(reference, apply_constraint(linear.module, result.weight), sample)
        if result.zeros is not None and result.zeros.any():
            set_reference(linear.module, linear.weight)
        linear.set_weight(result.weight)
        if result.zeros is not None:
            set_constraint(linear.module, result.zeros, self.target.pattern)
        if result.grid is not None:
            set_grid(linear.module, result.grid)
        fields: ReportFields = {
            "error": error,
            "error_kind": "weight" if sample is None else "output",
            "bits": result.grid.bits if result.grid else None,
            "damping": result.damping,
            "note": result.note if statistics.routed is None else few_tokens(statistics.routed, result.note),
        }
        if result.factors:
            self.factors.setdefault(linear.block, []).append((linear, *result.factors))
            fields["sparsity"] = 1 - sum(factor.numel() for factor in result.factors) / before.numel()
        fields["seconds"] = round(time.perf_counter() - started, 4)
        self.reports.append(report(linear, **fields))
        self.progress("compress", len(self.reports), self.total, self.blocks.place_of(linear))

    def _target(self, linear: Linear) -> Target:
        """Return the target of one linear, with the zeros and the reference from earlier stages."""
        zeros, reference = linear.zeros, None
        if zeros is None and self.allotted.shares:
            zeros = torch.zeros_like(linear.weight, dtype=torch.bool)
        if zeros is not None and not self.method.takes_amount:
            reference = resolve_reference(linear.module, linear.weight, self.dense)
        ratio = self.allotted.shares.get(linear.name, self.target.ratio)
        return replace(self.target, ratio=ratio, zeros=zeros, reference=reference)

    def finish(self, block: int) -> None:
        """Replace the factored linears of a block that has run."""
        for linear, left, right in self.factors.pop(block, ()):
            put(self.model, linear.name, factors_of(linear, left, right))


@torch.no_grad()
def round_blocks(model: PreTrainedModel, method: BlockQuantMethod, given: StageInput, context: Context) -> StageResult:
    """Quantise every linear of the model in place; raise `UserError` for one that the stage does not fit."""
    blocks = given.blocks
    linears = list(blocks.all_linears())
    target = target_of(given.stage, given.share)
    method.plan(linears, target, {})
    sums, reports = method.required_statistics, given.reports
    walker = make_walker(model, blocks, given.calibration, sums, context, linears, finished=given.finished)
    context.progress("compress", 0, len(linears), "")

    def quantise_block(index: int, run: Callable[[int], Tensor], dense: Sequence[Tensor]) -> None:
        started = time.perf_counter()
        members = blocks.linears(index)
        name = f"{blocks.name}.{index}"
        place = f"{name}, block {index + 1} of {len(blocks.holder)}"
        alive = partial(context.progress, "compress", len(reports), len(linears), place)
        view = BlockView(name, blocks.holder[index], members, walker.n_micro_batches, run, dense, alive)
        results = method.round_block(view, target)
        seconds = round((time.perf_counter() - started) / len(members), 4)
        for linear in members:
            quantised = results[linear.name]
            error = relative_error(quantised.before, quantised.after.weight, quantised.sample)
            clear_reference(linear.module)  # it may not suit the changed inputs
            linear.set_weight(quantised.after.weight)
            grid = quantised.after.grid
            if grid is not None:
                set_grid(linear.module, grid)
            bits, note = None if grid is None else grid.bits, quantised.after.note
            reports.append(report(linear, error=error, seconds=seconds, bits=bits, note=note))
            context.progress("compress", len(reports), len(linears), blocks.place_of(linear))

    walker.change(quantise_block, method.follows_dense)
    return StageResult(reports)
