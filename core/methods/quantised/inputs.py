"""What the linears of a block read on the calibration text: how large it is, and some of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.methods.quantised.blocks import BlockView

SAMPLED = 512  # about how many tokens of an input are kept


@dataclass
class Inputs:
    """What a linear reads on a text: the sum of |x| (in,) over its tokens, and some rows, (tokens, in) a part."""

    tokens: int
    total: Tensor
    rows: list[Tensor]

    @property
    def size(self) -> Tensor:
        """The mean of |x|, (in,)."""
        return self.total / self.tokens

    def sample(self, scales: Tensor | None) -> Tensor:
        """Return the rows (tokens, in), as they are once what makes them is divided by scales (in,)."""
        rows = torch.cat(self.rows)
        return rows if scales is None else rows / scales


def read_inputs(view: BlockView) -> dict[str, Inputs]:
    """Return what each linear of a block reads on the whole calibration text, by name."""
    found: dict[str, Inputs] = {}
    with ExitStack() as stack:
        for linear in view.linears:

            def look(module: nn.Module, args: tuple[Tensor, ...], name: str = linear.name) -> None:
                rows = args[0].flatten(0, -2)  # (tokens, in)
                one = found.setdefault(name, Inputs(0, rows.new_zeros(rows.shape[1], dtype=torch.float32), []))
                # An odd step from part to part goes through all positions: first tokens have outsized activations.
                step = view.parts * len(rows) // SAMPLED | 1
                one.rows.append(rows[-one.tokens % step :: step].float())
                one.tokens += len(rows)
                one.total += torch.linalg.vector_norm(rows, ord=1, dim=0, dtype=torch.float32)

            stack.callback(linear.module.register_forward_pre_hook(look).remove)
        for part in range(view.parts):
            view.run(part)
    return found
