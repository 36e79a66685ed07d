"""Sums over the calibration tokens of one input, and a sample of its rows, as micro-batches bring them."""

from __future__ import annotations

import torch
from torch import Tensor

from core.methods.base import Needs, Statistics


class Collector:
    """Accumulates the statistics of one input tensor over micro-batches, and a sample of its rows."""

    def __init__(self, needs: Needs, stride: int):
        self.needs, self.stride = needs, stride
        self.tokens = 0
        self.total: Tensor | None = None  # (in,)
        self.sqnorm: Tensor | None = None  # (in,)
        self.absolute: Tensor | None = None  # (in,)
        self.gram: Tensor | None = None  # (in, in)
        self.samples: list[Tensor] = []

    def add(self, inputs: Tensor) -> None:
        """Add inputs (windows, tokens, in)."""
        rows = inputs.flatten(0, -2)  # (windows * tokens, in)
        total = rows.sum(0, dtype=torch.float32)
        self.total = total if self.total is None else self.total.add_(total)
        if self.needs == "gram":
            if self.gram is None:
                self.gram = rows.new_zeros(rows.shape[1], rows.shape[1], dtype=torch.float32)
            add_gram(self.gram, rows)
        else:
            wide = torch.promote_types(rows.dtype, torch.float32)
            squares = torch.linalg.vector_norm(rows, dim=0, dtype=wide).square_().float()
            self.sqnorm = squares if self.sqnorm is None else self.sqnorm.add_(squares)
        if self.needs == "absolute":
            absolute = torch.linalg.vector_norm(rows, ord=1, dim=0, dtype=torch.float32)
            self.absolute = absolute if self.absolute is None else self.absolute.add_(absolute)
        first_row = -self.tokens % self.stride
        self.samples.append(rows[first_row :: self.stride].clone())
        self.tokens += len(rows)

    def finish(self) -> tuple[Statistics, Tensor]:
        if self.gram is not None:
            self.gram.copy_(self.gram.triu() + self.gram.triu(1).T)
            self.sqnorm = self.gram.diagonal().clone()
        return Statistics(self.tokens, self.sqnorm, self.gram, self.total, self.absolute), torch.cat(self.samples)


def add_gram(gram: Tensor, rows: Tensor, panel: int = 256) -> None:
    """Add rows^T rows to the upper triangle of `gram` (in, in), fp32; a Gram matrix is symmetric, so half is enough."""
    rows = rows.float()  # (tokens, in)
    for start in range(0, len(gram), panel):
        stop = min(start + panel, len(gram))
        gram[start:stop, start:].addmm_(rows[:, start:stop].T, rows[:, start:])
