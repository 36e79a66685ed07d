"""Bits of each linear for a requested mean, from how much rounding each weight lowers the model's quality.

Rounding a linear by D adds to the loss L, to second order, half of D' H D. The empirical Fisher matrix, the mean of the
gradients' outer products, estimates the Hessian H (Kim et al., SqueezeLLM, 2023, arXiv:2306.07629, section 4.1). Here
it uses whole rows of the weights: the mean over sequences of sum_i (dL/dW_i . D_i)^2. D is the change by rounding to
nearest.

Steps to more bits are taken in the order of the loss that they save per bit of the model, as long as the mean allows:
greedy on the lower convex hull of each linear's losses (Shoham & Gersho, Efficient bit allocation for an arbitrary set
of quantizers, 1988).
"""

import heapq
from collections.abc import Callable, Mapping, Sequence

from core.methods.lazy import Grid, Tensor


class RoundingLosses:
    """The rise in loss from rounding a weight (out, in) at each of `widths`, up to a common factor."""

    def __init__(self, widths: Sequence[int], find: Callable[[Tensor, int], Grid]):
        self.widths, self.find = widths, find
        self.grids: list[Grid] = []
        self.losses = [0.0] * len(widths)

    def add(self, weight: Tensor, gradient: Tensor) -> None:
        if not self.grids:
            self.grids = [self.find(weight, bits) for bits in self.widths]
        for place, grid in enumerate(self.grids):
            along = ((grid.nearest(weight) - weight) * gradient).sum(1)  # (out,)
            self.losses[place] += float(along.double().square().sum())

    def tensors(self) -> dict[str, Tensor]:
        import torch

        return {"losses": torch.tensor(self.losses, dtype=torch.float64)}

    def state(self) -> dict[str, Tensor]:
        return self.tensors() if self.grids else {}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.losses = state["losses"].tolist()


def allocate_bits(
    losses: Mapping[str, Sequence[float]], sizes: Mapping[str, int], widths: Sequence[int], mean: float
) -> dict[str, int]:
    """Return the bits of each linear; the mean over weights is at most `mean`, and as near as whole linears allow.

    `losses` are those of a linear at each of `widths`, which ascend from less than the mean; `sizes` are their weights.
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
