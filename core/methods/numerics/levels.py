"""Weights of parts within a budget: even pruning ratios where some parts lost more before, and sizes to choose from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.methods.annotations import Linear, Tensor


def level_counts(sizes: Sequence[int], zeros: Sequence[int], total: int) -> list[int]:
    """Return the number of removed weights of each part, `total` together, as even as possible.

    Part i has `sizes[i]` weights, of which `zeros[i]` are removed already and stay so. The other parts reach one level
    L, a share of their sizes, with sum(max(L n_i, z_i)) = `total`. Rounding remainders carry over to the next part. If
    more than `total` are removed already, every part keeps its count.
    """
    below = list(range(len(sizes)))  # parts whose zeros do not exceed the level
    while True:
        left, room = total - sum(zeros) + sum(zeros[i] for i in below), sum(sizes[i] for i in below)  # L = left / room
        rest = [i for i in below if zeros[i] * room <= left * sizes[i]]
        if len(rest) == len(below):
            break
        below = rest
    counts = list(zeros)
    covered = assigned = 0
    for i in below:
        covered += sizes[i]
        due = (2 * left * covered + room) // (2 * room)  # left * covered / room, halves up
        counts[i], assigned = due - assigned, due
    return counts


def level_shares(linears: Sequence[Linear], ratio: float) -> dict[str, float]:
    """Return the removed share of each linear by name, with exactly `ratio` of all their weights removed.

    Weights that are already bound to zero count.
    """
    zeros = [linear.bound for linear in linears]
    sizes = [linear.weight.numel() for linear in linears]
    counts = level_counts(sizes, zeros, round(ratio * sum(sizes)))
    return {linear.name: count / size for linear, count, size in zip(linears, counts, sizes, strict=True)}


def moved_counts(
    shares: Sequence[float], sizes: Sequence[int], zeros: Sequence[int], total: int, cap: float
) -> list[int]:
    """Return the number of removed weights of each part, `total` together, from shares shifted by one amount.

    Part i has `sizes[i]` weights, of which `zeros[i]` are removed already and stay so. It loses at most the share
    `cap`, unless more is removed already. Rounding remainders go to the parts that were rounded down most. If more than
    `total` are removed already, every part keeps its count.
    """
    most = [max(math.ceil(cap * size), before) for size, before in zip(sizes, zeros, strict=True)]
    low, high = -1 - max(shares), 1 - min(shares)
    for _ in range(100):  # beyond the precision of a double
        middle = (low + high) / 2
        due = [
            min(max((share + middle) * size, before), limit)
            for share, size, before, limit in zip(shares, sizes, zeros, most, strict=True)
        ]
        low, high = (middle, high) if sum(due) < total else (low, middle)
    counts = [math.floor(part) for part in due]
    by_rest = sorted(range(len(due)), key=lambda i: counts[i] - due[i])
    left = total - sum(counts)
    for i in by_rest:
        if left > 0 and counts[i] < most[i]:
            counts[i], left = counts[i] + 1, left - 1
    return counts


@dataclass(frozen=True)
class Choices:
    """Sizes of a matrix to choose from, the smallest first and the whole last."""

    weights: Tensor  # (choices,)
    losses: Tensor  # (choices,) lost share of its squared output

    def best(self, price: float) -> int:
        """Return the choice with the least sum of loss and price, which is per weight."""
        return int((self.losses + price * self.weights).argmin())

    def is_whole(self, choice: int) -> bool:
        """Return whether a choice leaves the matrix whole."""
        return choice == len(self.weights) - 1


def spend(choices: list[Choices], picked: list[int], left: float) -> None:
    """Raise the picked choices in place within the budget `left`, each time where a weight lowers the loss most."""
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
