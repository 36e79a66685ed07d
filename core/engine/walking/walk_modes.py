"""Choice of the walker's mode by the available memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
import torch
from torch import Tensor

from core.context import Context
from core.engine.walking.collector import SumsOf
from core.engine.walking.walker import Walker, WalkMode
from core.memory import ACTIVATION_SHARE, process_bytes
from core.models.parts.blocks import Blocks, Linear

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def make_walker(
    model: PreTrainedModel,
    blocks: Blocks,
    windows: Tensor,
    sums: SumsOf,
    context: Context,
    linears: list[Linear],
    true_sequential: bool = True,
    observes: bool = False,
) -> Walker:
    """Create a walker in a mode that fits in memory, and check that it gives the model's own output.

    Blocks that it has changed leave the memory if the model streams; one that only `observes` changes none.
    """
    form, batch = choose_walk_mode(model, linears, windows, context.device, context.memory)
    shelf = None if observes else context.shelf
    walker = Walker(model, blocks, windows, sums, context.device, form, batch, true_sequential, shelf)
    walker.recorder.check(windows)
    return walker


def choose_walk_mode(
    model: PreTrainedModel, linears: list[Linear], windows: Tensor, device: torch.device, memory: int | None = None
) -> tuple[WalkMode, int]:
    """Choose the walker's mode and the sequences per micro-batch by the available memory.

    On a CPU one sequence at a time is fastest, as its activations stay in the processor's cache. On a GPU a micro-batch
    uses a sixteenth of the free memory. `micro` needs memory for one block's live activations of all sequences; if
    they do not fit, the mode is `spill`. The process may take `memory` bytes; None means the free memory.
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
        if memory is not None:
            free = min(free, max(0, memory - process_bytes()))
    return ("micro" if needed < ACTIVATION_SHARE * free else "spill"), batch
