"""The rank of each matrix, so that the requested share of all their weights is removed.

Two factors of rank r of a matrix (m, n) have r (m + n) weights, fewer than the matrix if r < m n / (m + n). Ranks
follow from the shape of each matrix, so the narrow k and v of grouped heads get ranks of their own. Reference: Wang et
al., SVD-LLM, 2024 (arXiv:2403.07378), section 3; the global allocation is this project's own.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from core.methods.choices import Choices, spend

Shapes = Mapping[str, tuple[int, int]]
Ranks = dict[str, int | None]  # None: the matrix stays whole
STEPS = 100  # of the bisection over the price of a weight


def uniform_ranks(shapes: Shapes, ratio: float) -> Ranks:
    """Return ranks that remove the share `ratio` of every matrix; rounding remainders carry over to the next one."""
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
    """Return the ranks with the least total loss; a matrix's loss is its relative squared error.

    `spectra` are squared singular values, largest first. All matrices pay one price per weight: each takes the rank, or
    stays whole, at the least sum of loss and price. The price is the lowest that meets the budget. Weights left over go
    where they lower the loss most.
    """
    if not ratio:
        return dict.fromkeys(shapes)
    choices = [_choices(shapes[name], spectra[name]) for name in shapes]
    budget = (1 - ratio) * sum(m * n for m, n in shapes.values())
    low, high = 0.0, 1.0  # at price 1, no weight is worth a loss below 1
    for _ in range(STEPS):
        price = (low + high) / 2
        if sum(choice.weights[choice.best(price)] for choice in choices) > budget:
            low = price
        else:
            high = price
    picked = [choice.best(high) for choice in choices]
    spend(choices, picked, budget - sum(float(c.weights[p]) for c, p in zip(choices, picked, strict=True)))
    return {
        name: None if choice.is_whole(p) else p + 1 for name, choice, p in zip(shapes, choices, picked, strict=True)
    }


def _choices(shape: tuple[int, int], values: Tensor) -> Choices:
    """Return the choices of a matrix: rank 1 to the highest that saves weights, then the whole."""
    m, n = shape
    ranks = torch.arange(1, _highest(m, n) + 1)
    tail = values.double().flip(0).cumsum(0).flip(0)  # (k,) loss of the ranks 0, 1, ...
    losses = (tail[ranks] / tail[0].clamp_min(1e-300)).cpu()
    return Choices(
        torch.cat([ranks * (m + n), torch.tensor([m * n])]).double(),
        torch.cat([losses, losses.new_zeros(1)]),
    )


def _highest(m: int, n: int) -> int:
    """Return the highest rank, at least 1, whose factors have fewer weights than the matrix."""
    return max(1, (m * n - 1) // (m + n))
