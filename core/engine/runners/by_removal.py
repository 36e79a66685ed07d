"""Removal, in place, of whole experts, of whole blocks, or of entries of the hidden states."""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.errors import UserError
from core.cache.observations import Tensors, observed
from core.context import Context, StageInput, StageResult
from core.engine.walking.observe import KeptObservations, collect_block_views
from core.engine.walking.walker import make_walker
from core.evaluation.layers import ReportFields, report, unit_reports
from core.methods.structured.base import BlockRemovalMethod, HiddenSizeMethod
from core.methods.structured.experts import ExpertMethod, RoutingStatistics
from core.models.modeling_slimscope import Expert, Experts
from core.models.parts.blocks import Blocks
from core.models.removal.depth import keep_blocks, keep_hidden
from core.models.removal.experts import check_removal, groups_of, keep_experts, recount_experts

Layers = Mapping[str, Experts]  # by name


def remove_experts(model: PreTrainedModel, method: ExpertMethod, given: StageInput, context: Context) -> StageResult:
    """Remove experts in place, equally many from every layer; the report uses the names before the removal.

    Raises `UserError` if the model has no experts, its layers differ in their number, or too few would remain.
    """
    blocks = given.blocks
    layers = {name: module for name, module in model.named_modules() if isinstance(module, Experts)}
    sizes = {len(experts) for experts in layers.values()}
    if len(sizes) != 1:
        raise UserError(
            f"{method.label} removes experts, but this model has "
            f"{'layers with different numbers of them' if sizes else 'none'}; use another method."
        )
    [size] = sizes
    groups = groups_of(model)
    count = _count(blocks, layers, given.share, groups)
    check_removal(model, size, count)
    if not given.share:
        return StageResult([])
    found = observed(
        given.input_key, given.stage, method.observations, partial(_observe, model, layers, given, context)
    )
    linears = list(blocks.all_linears())
    tokens: dict[str, int] = {}  # of each removed expert by name
    for name, experts in layers.items():
        use = RoutingStatistics(found[f"{name} tokens"], found[f"{name} contribution"])
        kept = method.kept(use, count, groups)
        dropped = set(range(size)) - set(kept.tolist())
        tokens |= {f"{name}.{number}": int(use.tokens[number]) for number in dropped}
        keep_experts(experts, model.get_submodule(name.rpartition(".")[0]), kept)
    recount_experts(model, size, size - count)
    reports = []
    for linear in linears:
        own = tokens.get(linear.name.rpartition(".")[0])
        gone: ReportFields = {"shape": (0, 0), "sparsity": 1.0, "note": f"expert removed, which got {own} tokens"}
        reports.append(report(linear, **({} if own is None else gone)))
    return StageResult(reports)


def _count(blocks: Blocks, layers: Layers, share: float, groups: int) -> int:
    """Return how many experts each layer loses, a multiple of `groups`, so that about `share` of all weights goes.

    Raises `UserError` for a share that removes none, or more than all.
    """
    firsts = [parameter for experts in layers.values() for parameter in experts[0].parameters()]
    each = groups * sum(one.numel() for one in firsts if one.dim() > 1)  # of one expert per group in every layer
    total = sum(linear.weight.numel() for linear in blocks.all_linears())
    count = groups * round(share * total / each)
    most = len(next(iter(layers.values())))
    if share and not 0 < count < most:
        raise UserError(
            f"Ratio {share:g} is {count} of the {most} experts of every layer; give from {each / total:.3g} to "
            f"{(most / groups - 1) * each / total:.3g}."
        )
    return count


@torch.no_grad()
def _observe(
    model: PreTrainedModel, layers: Layers, given: StageInput, context: Context, pass_name: str | None
) -> Tensors:
    """Return, for each layer, the tokens of its experts and their contributions (experts,), of the unchanged model.

    An interrupted pass of this name is resumed.
    """
    found: Tensors = {}
    total = len(given.blocks.holder)
    with ExitStack() as hooks:
        for name, experts in layers.items():
            use = RoutingStatistics(*(torch.zeros(len(experts), dtype=torch.float64) for _ in range(2)))
            found |= {f"{name} tokens": use.tokens, f"{name} contribution": use.contribution}
            _count_into(use, experts, hooks)
        context.progress("observe", 0, total, "")
        linears = list(given.blocks.all_linears())
        kept = KeptObservations(pass_name, found) if pass_name else None
        blocks, calibration = given.blocks, given.calibration
        walker = make_walker(
            model, blocks, calibration, lambda _: frozenset(), context, linears, observes=True, finished=kept
        )
        for tensor in found.values():
            tensor.zero_()  # of the check of the walker
        walker.observe(lambda index, inputs, outputs: context.progress("observe", index + 1, total, ""))
    return found


def _count_into(use: RoutingStatistics, experts: Experts, hooks: ExitStack) -> None:
    """Add what the experts do on each call to `use`, until the hooks end."""
    routed: list[tuple[Tensor, Tensor]] = []  # chosen experts and their weights, (tokens, k), of the current call

    def before(module: nn.Module, args: tuple[Tensor, Tensor, Tensor]) -> None:
        routed[:] = [args[1:]]

    def after(module: Expert, args: tuple[Tensor], outputs: Tensor, number: int) -> None:
        [(chosen, weights)] = routed
        slots, rows = torch.where(chosen.T.eq(number))  # as the layer orders the expert's tokens
        sizes = torch.linalg.vector_norm(outputs, dim=-1, dtype=torch.float32)  # (rows,)
        use.tokens[number] += len(rows)
        use.contribution[number] += (weights[rows, slots].float() * sizes).sum().cpu().double()

    hooks.enter_context(experts.register_forward_pre_hook(before))
    for number, one in enumerate(experts):
        hooks.enter_context(one.register_forward_hook(partial(after, number=number)))


def remove_blocks(
    model: PreTrainedModel, method: BlockRemovalMethod, given: StageInput, context: Context
) -> StageResult:
    """Remove whole blocks in place; the report uses the linears' names before the removal."""
    views = collect_block_views(model, method, given, context)
    if not given.share:
        return StageResult([])
    kept = method.keep_blocks(views, given.share)
    keep_blocks(model, given.blocks, kept)
    removed: ReportFields = {"shape": (0, 0), "sparsity": 1.0, "note": "block removed"}
    reports = []
    for view in views:
        more = {} if view.units.block in kept else dict.fromkeys(view.units.linears, removed)
        reports += unit_reports(view.units, view.units.sizes, more=more)
    return StageResult(reports)


def remove_hidden(model: PreTrainedModel, method: HiddenSizeMethod, given: StageInput, context: Context) -> StageResult:
    """Remove entries of the hidden states from every matrix, in place."""
    views = collect_block_views(model, method, given, context)
    if not given.share:
        return StageResult([])
    before = [view.units.sizes for view in views]
    keep_hidden(model, given.blocks, method.keep_hidden(views, given.share))
    return StageResult(
        [done for view, sizes in zip(views, before, strict=True) for done in unit_reports(view.units, sizes)]
    )
