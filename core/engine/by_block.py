"""The linears of a block rounded together, block after block, each on the output of the rounded blocks before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.context import Context, StageInput, StageResult
from core.engine.walk_modes import make_walker
from core.evaluation.layers import relative_error, report
from core.methods.inputs import Target
from core.methods.quantised.blocks import BlockQuantMethod, BlockView
from core.models.parts.blocks import find_blocks
from core.models.parts.grids import set_grid
from core.models.parts.reference import clear_reference
from core.results import LayerReport
from core.specs import parse_bits

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.no_grad()
def round_blocks(model: PreTrainedModel, method: BlockQuantMethod, given: StageInput, context: Context) -> StageResult:
    """Round every linear of the model in place.

    Raises `UserError` where the stage does not fit the model, before anything is changed.
    """
    blocks = find_blocks(model)
    linears = list(blocks.all_linears())
    target = Target(given.share, bits=parse_bits(given.stage.pattern or "") or 16)
    method.plan(linears, target, {})
    walker = make_walker(model, blocks, given.windows, method.required_statistics, context.device, linears)
    reports: list[LayerReport] = []
    context.progress("compress", 0, len(linears), "")

    def round_one(index: int, run: Callable[[int], Tensor], dense: Sequence[Tensor]) -> None:
        started = time.perf_counter()
        members = blocks.linears(index)
        name = f"{blocks.name}.{index}"
        alive = partial(context.progress, "compress", len(reports), len(linears), name)
        view = BlockView(name, blocks.holder[index], members, walker.n_micro_batches, run, dense, alive)
        found = method.round_block(view, target)
        each = round((time.perf_counter() - started) / len(members), 4)
        for linear in members:
            rounded = found[linear.name]
            error = relative_error(rounded.before, rounded.after.weight, rounded.sample)
            clear_reference(linear.module)  # its inputs need not be what they were
            linear.set_weight(rounded.after.weight)
            grid = rounded.after.grid
            if grid is not None:
                set_grid(linear.module, grid)
            bits, note = grid and grid.bits, rounded.after.note
            reports.append(report(linear, error=error, seconds=each, bits=bits, note=note))
            context.progress("compress", len(reports), len(linears), linear.name)

    walker.change(round_one, method.follows_dense)
    return StageResult(reports)
