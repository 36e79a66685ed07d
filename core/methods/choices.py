"""Sizes of matrices and convolutions to choose from, within a budget of weights for all of them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Choices:
    """Sizes of a matrix or a convolution to choose from, the smallest first and the whole last."""

    weights: Tensor  # (choices,)
    losses: Tensor  # (choices,) lost share of its squared output

    def best(self, price: float) -> int:
        """Return the choice with the least sum of loss and price, which is per weight."""
        return int((self.losses + price * self.weights).argmin())

    def is_whole(self, choice: int) -> bool:
        """Return whether a choice leaves the matrix or the convolution whole."""
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
