"""Collection of statistics: sums over the calibration tokens of one input, and a sample of its rows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.methods.cost import Sum
from core.methods.inputs import Statistics

PANEL = 256  # rows of a sum at once
Sums = frozenset[Sum]
SumsOf = Callable[[str], Sums]  # from the role of a linear


class Collector:
    """Accumulator of the `wanted` sums of one input over micro-batches, and of every `stride`-th row."""

    def __init__(self, wanted: Sums, stride: int):
        self.wanted, self.stride = wanted, stride
        self.tokens = 0
        self.sums: dict[Sum, Tensor] = {}
        self.samples: list[Tensor] = []

    def add(self, inputs: Tensor) -> None:
        """Add inputs (sequences, tokens, in)."""
        rows = inputs.flatten(0, -2)  # (sequences * tokens, in)
        if "mean" in self.wanted:
            self._add("mean", rows.sum(0, dtype=torch.float32))
        if "gram" in self.wanted:
            if "gram" not in self.sums:
                self.sums["gram"] = rows.new_zeros(rows.shape[1], rows.shape[1], dtype=torch.float32)
            add_gram(self.sums["gram"], rows)
        elif "sqnorm" in self.wanted:
            wide = torch.promote_types(rows.dtype, torch.float32)
            self._add("sqnorm", torch.linalg.vector_norm(rows, dim=0, dtype=wide).square_().float())
        if "absolute" in self.wanted:
            self._add("absolute", torch.linalg.vector_norm(rows, ord=1, dim=0, dtype=torch.float32))
        first_row = -self.tokens % self.stride
        self.samples.append(rows[first_row :: self.stride].clone())
        self.tokens += len(rows)

    def _add(self, name: Sum, value: Tensor) -> None:
        self.sums[name] = self.sums[name].add_(value) if name in self.sums else value

    def finish(self) -> tuple[Statistics, Tensor]:
        """Return the statistics and the sampled rows, (about `SAMPLED_TOKENS`, in), and forget them."""
        if "gram" in self.sums:
            gram = self.sums["gram"]
            mirror(gram)
            self.sums["sqnorm"] = gram.diagonal().clone()
        if "mean" in self.sums:
            self.sums["mean"] /= self.tokens
        sums, samples = self.sums, torch.cat(self.samples)
        self.sums, self.samples = {}, []  # the caller decides when their memory is free
        return Statistics(self.tokens, sums), samples


def mirror(gram: Tensor, panel: int = PANEL) -> None:
    """Copy the upper triangle of a matrix (in, in) to the lower one, `panel` rows at a time."""
    for start in range(0, len(gram), panel):
        stop = min(start + panel, len(gram))
        square = gram[start:stop, start:stop]
        square.copy_(square.triu() + square.triu(1).T)
        gram[stop:, start:stop] = gram[start:stop, stop:].T


def add_gram(gram: Tensor, rows: Tensor, panel: int = PANEL) -> None:
    """Add rows^T rows to the upper triangle of the symmetric `gram`, (in, in) fp32, `panel` rows at a time."""
    rows = rows.float()  # (tokens, in)
    for start in range(0, len(gram), panel):
        stop = min(start + panel, len(gram))
        gram[start:stop, start:].addmm_(rows[:, start:stop].T, rows[:, start:])
