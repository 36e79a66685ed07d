"""How much each part of a whole loses where some parts have lost more than their even share before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.models.parts.blocks import Linear


def level_counts(sizes: Sequence[int], zeros: Sequence[int], total: int) -> list[int]:
    """Return how many weights are gone of each part, such that `total` are in all.

    Part i has `sizes[i]` weights, of which `zeros[i]` are gone already and stay so. All others come to one level L, a
    share of their sizes, that makes sum(max(L n_i, z_i)) the total; what rounding leaves over goes to the next part.
    Where more than `total` are gone already, every part keeps what it has.
    """
    below = list(range(len(sizes)))  # parts that the level is not below
    while True:
        left, room = total - sum(zeros) + sum(zeros[i] for i in below), sum(sizes[i] for i in below)  # L = left / room
        rest = [i for i in below if zeros[i] * room <= left * sizes[i]]
        if len(rest) == len(below):
            break
        below = rest
    counts = list(zeros)
    reached = taken = 0
    for i in below:
        reached += sizes[i]
        due = (2 * left * reached + room) // (2 * room)  # left * reached / room, halves up
        counts[i], taken = due - taken, due
    return counts


def level_shares(linears: Sequence[Linear], ratio: float) -> dict[str, float]:
    """Return by name the share of each linear that is gone when exactly `ratio` of all their weights is.

    What is bound to zero already counts.
    """
    zeros = [linear.bound for linear in linears]
    sizes = [linear.weight.numel() for linear in linears]
    counts = level_counts(sizes, zeros, round(ratio * sum(sizes)))
    return {linear.name: count / size for linear, count, size in zip(linears, counts, sizes, strict=True)}


def moved_counts(
    shares: Sequence[float], sizes: Sequence[int], zeros: Sequence[int], total: int, cap: float
) -> list[int]:
    """Return how many weights are gone of each part, such that `total` are in all: its share, all moved by one amount.

    Part i has `sizes[i]` weights, of which `zeros[i]` are gone already and stay so; it loses at most the share `cap`,
    unless more are gone. What rounding leaves over goes to the parts whose counts were rounded down by most. Where more
    than `total` are gone already, every part keeps what it has.
    """
    most = [max(math.ceil(cap * size), before) for size, before in zip(sizes, zeros, strict=True)]
    low, high = -1 - max(shares), 1 - min(shares)
    for _ in range(100):  # far below what a double tells apart
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
