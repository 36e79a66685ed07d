"""Which rank each matrix gets, so that the asked share of all their weights goes.

Two factors of rank r of a matrix (m, n) hold r (m + n) weights: fewer than the matrix below r = m n / (m + n). The
ranks follow from each matrix's own shape, so that narrow k and v of grouped heads get theirs.
Reference: Wang et al., SVD-LLM, 2024 (arXiv:2403.07378), section 3; the global allocation is this project's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Shapes = Mapping[str, tuple[int, int]]
Ranks = dict[str, int | None]  # None: the matrix stays whole
STEPS = 100  # of the bisection over the price of a weight


def uniform_ranks(shapes: Shapes, ratio: float) -> Ranks:
    """Return ranks that take a share `ratio` of every matrix; what rounding leaves over goes to the next one."""
    if not ratio:
        return dict.fromkeys(shapes)
    ranks: Ranks = {}
    left = 0.0
    for name, (m, n) in shapes.items():
        budget = (1 - ratio) * m * n + left
        ranks[name] = rank = max(1, min(int(budget / (m + n)), _highest(m, n)))
        left = budget - rank * (m + n)
    return ranks


def global_ranks(shapes: Shapes, spectra: Mapping[str, Tensor], ratio: float) -> Ranks:
    """Return the ranks that lose least in all, a matrix's loss being its relative squared error.

    `spectra` are squared singular values, largest first. A weight has one price for all matrices: at each, a matrix
    takes the rank (or stays whole) that costs it least in loss and weights; the price is the lowest at which all fit,
    and what is left of the budget goes where it helps most.
    """
    if not ratio:
        return dict.fromkeys(shapes)
    choices = [Choices.of(shapes[name], spectra[name]) for name in shapes]
    budget = (1 - ratio) * sum(m * n for m, n in shapes.values())
    low, high = 0.0, 1.0  # a weight at price 1 is never worth a loss below 1
    for _ in range(STEPS):
        price = (low + high) / 2
        if sum(choice.weights[choice.best(price)] for choice in choices) > budget:
            low = price
        else:
            high = price
    picked = [choice.best(high) for choice in choices]
    spend(choices, picked, budget - sum(float(c.weights[p]) for c, p in zip(choices, picked, strict=True)))
    return {name: choice.rank(p) for name, choice, p in zip(shapes, choices, picked, strict=True)}


@dataclass(frozen=True)
class Choices:
    """What a matrix, or a convolution, may become, the smallest first and last, whole."""

    weights: Tensor  # (choices,)
    losses: Tensor  # (choices,) share of its squared output that is lost

    @classmethod
    def of(cls, shape: tuple[int, int], values: Tensor) -> Choices:
        """Return those of a matrix: rank 1 to the highest that saves weights, and whole."""
        m, n = shape
        ranks = torch.arange(1, _highest(m, n) + 1)
        tail = values.double().flip(0).cumsum(0).flip(0)  # (k,) what ranks 0, 1, ... lose
        losses = (tail[ranks] / tail[0].clamp_min(1e-300)).cpu()
        return cls(
            torch.cat([ranks * (m + n), torch.tensor([m * n])]).double(),
            torch.cat([losses, losses.new_zeros(1)]),
        )

    def best(self, price: float) -> int:
        return int((self.losses + price * self.weights).argmin())

    def rank(self, choice: int) -> int | None:
        return None if choice == len(self.weights) - 1 else choice + 1


def spend(choices: list[Choices], picked: list[int], left: float) -> None:
    """Raise ranks in place, each time where a weight lowers the loss most, while the weights left allow it."""
    while True:
        gains = [
            ((c.losses[p] - c.losses[p + 1]) / step, index, step)
            for index, (c, p) in enumerate(zip(choices, picked, strict=True))
            if p + 1 < len(c.weights) and 0 < (step := float(c.weights[p + 1] - c.weights[p])) <= left
        ]
        if not gains:
            return
        _, index, step = max(gains)
        picked[index] += 1
        left -= step


def _highest(m: int, n: int) -> int:
    """Return the highest rank whose factors hold fewer weights than the matrix, at least 1."""
    return max(1, (m * n - 1) // (m + n))
