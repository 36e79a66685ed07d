"""Bits of each linear for a requested mean.

The loss of every linear at each width is known. Steps to more bits are taken in the order of the loss that they save
per bit of the model, as long as the mean allows: greedy on the lower convex hull of each linear's losses (Shoham &
Gersho, Efficient bit allocation for an arbitrary set of quantizers, 1988).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence


def allocate_bits(
    losses: Mapping[str, Sequence[float]], sizes: Mapping[str, int], widths: Sequence[int], mean: float
) -> dict[str, int]:
    """Return the bits of each linear; the mean over weights is at most `mean`, and as near as whole linears allow.

    Args:
        losses: Losses of each linear at each of `widths`.
        sizes: Weights of each linear.
        widths: Bits in ascending order; the first is less than `mean`.
        mean: Requested mean of bits per weight.
    """
    left = (mean - widths[0]) * sum(sizes.values())  # bits of the model still to assign
    bits = dict.fromkeys(losses, widths[0])

    def best_step(name: str) -> tuple[float, str, int] | None:
        """Return a linear's best affordable step: its change in loss per bit, the name and the new width."""
        known = dict(zip(widths, losses[name], strict=True))
        now = bits[name]
        steps = [
            ((known[more] - known[now]) / ((more - now) * sizes[name]), name, more)
            for more in widths
            if more > now and (more - now) * sizes[name] <= left and known[more] < known[now]
        ]
        return min(steps, default=None)

    steps = [step for name in losses if (step := best_step(name))]
    heapq.heapify(steps)
    while steps:
        _, name, more = heapq.heappop(steps)
        cost = (more - bits[name]) * sizes[name]
        if cost <= left:
            left -= cost
            bits[name] = more
        if step := best_step(name):
            heapq.heappush(steps, step)
    return bits
