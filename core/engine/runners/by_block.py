"""Block-wise quantisation: all linears of a block together, on the output of the quantised blocks before it."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.context import Context, StageInput, StageResult
from core.engine.amounts import target_of
from core.engine.walking.walker import make_walker
from core.evaluation.layers import relative_error, report
from core.methods.quantised.base import BlockQuantMethod, BlockView
from core.models.parts.grids import set_grid
from core.models.parts.reference import clear_reference


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
