"""Choice of the walker's micro-batches, and of the memory for their activations."""

import psutil
import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.base.memory import ACTIVATION_SHARE, process_bytes
from core.context import Context
from core.engine.walking.collector import SumsOf
from core.engine.walking.walker import Walker
from core.methods.cost import COPIES, GRAMS
from core.models.parts.blocks import Blocks, Linear
from core.models.parts.finished import KeptBlocks


def make_walker(
    model: PreTrainedModel,
    blocks: Blocks,
    windows: Tensor,
    sums: SumsOf,
    context: Context,
    linears: list[Linear],
    true_sequential: bool = True,
    observes: bool = False,
    finished: KeptBlocks | None = None,
) -> Walker:
    """Create a walker whose activations fit in memory, and check that it gives the model's own output.

    Blocks that it has changed leave the memory if the model streams; one that only `observes` changes none.
    """
    widest = max((linear.shape[1] for linear in linears if "gram" in sums(linear.role)), default=0)
    working = GRAMS * 4 * widest**2 + COPIES * 4 * max(linear.weight.numel() for linear in linears)
    batch, limit = choose_walk_mode(model, linears, windows, working, context)
    shelf = None if observes else context.shelf
    walker = Walker(model, blocks, windows, sums, context.device, batch, true_sequential, shelf, limit, finished)
    walker.recorder.check(windows)
    return walker


def choose_walk_mode(
    model: PreTrainedModel, linears: list[Linear], windows: Tensor, working: int, context: Context
) -> tuple[int, int | None]:
    """Choose the sequences per micro-batch, and the bytes for the activations of paused ones; None: all fit.

    On a CPU one sequence at a time is fastest, as its activations stay in the processor's cache. On a GPU a micro-batch
    uses a sixteenth of the free memory. Paused ones get a share of what compression, with `working` bytes, leaves.
    """
    device, memory = context.device, context.memory
    width = sum(
        linear.weight.shape[0] + linear.weight.shape[1] for linear in linears if linear.block == linears[0].block
    )
    item = next(model.parameters()).element_size()
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        batch = max(1, min(len(windows), int(free / 16 / (windows.shape[1] * width * item))))
    else:
        free, batch = psutil.virtual_memory().available, 1
        if memory is not None:
            free = min(free, max(0, memory - process_bytes()))
    limit = int(ACTIVATION_SHARE * max(0, free - working))
    most = windows.numel() * width * item  # inputs and outputs of all linears of a block
    return batch, None if most < limit else limit
