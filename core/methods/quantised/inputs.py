"""Inputs of a block's linears on the calibration data: their size, and a sample."""

from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.methods.quantised.base import BlockView

SAMPLED = 512  # approximate number of sampled tokens per input


@dataclass
class Inputs:
    """The input of a linear: the sum of |x| (in,) over its tokens, and sampled rows, (tokens, in) per micro-batch."""

    tokens: int
    total: Tensor
    rows: list[Tensor]

    @property
    def size(self) -> Tensor:
        """Mean of |x|, (in,)."""
        return self.total / self.tokens

    def sample(self, scales: Tensor | None) -> Tensor:
        """Return the sampled rows (tokens, in), divided by `scales` (in,) if given."""
        rows = torch.cat(self.rows)
        return rows if scales is None else rows / scales


def read_inputs(view: BlockView) -> dict[str, Inputs]:
    """Return the input of each linear of a block over all calibration data, by name."""
    found: dict[str, Inputs] = {}
    with ExitStack() as stack:
        for linear in view.linears:

            def look(module: nn.Module, args: tuple[Tensor, ...], name: str = linear.name) -> None:
                rows = args[0].flatten(0, -2)  # (tokens, in)
                one = found.setdefault(name, Inputs(0, rows.new_zeros(rows.shape[1], dtype=torch.float32), []))
                # An odd step covers all positions across micro-batches, since first tokens have outsized activations.
                step = view.parts * len(rows) // SAMPLED | 1
                one.rows.append(rows[-one.tokens % step :: step].float())
                one.tokens += len(rows)
                one.total += rows.abs().sum(0, dtype=torch.float32)  # a norm is slower, tenfold at 2048

            stack.callback(linear.module.register_forward_pre_hook(look).remove)
        for part in range(view.parts):
            view.run(part)
    return found
