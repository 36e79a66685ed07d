"""How much rounding each weight lowers a model's quality, for a requested mean of bits.

Rounding a linear by D adds to the loss L, to second order, half of D' H D. The empirical Fisher matrix, the mean of the
gradients' outer products, estimates the Hessian H (Kim et al., SqueezeLLM, 2023, arXiv:2306.07629, section 4.1). Here
it uses whole rows of the weights: the mean over sequences of sum_i (dL/dW_i . D_i)^2. D is the change by rounding to
nearest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.parts.grids import Grid


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
