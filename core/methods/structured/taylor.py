"""Taylor scores of units from weights and their gradients, shared by the gradient-based methods.

References: Ma et al., LLM-Pruner, 2023 (arXiv:2305.11627), equations 3 to 5. g is the gradient of the mean loss, and F
the mean over calibration sequences of the squared gradient of each. Removing a weight changes the loss by about w g -
w^2 F / 2. A unit's score sums that over its rows or columns, before or after taking absolute values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from core.methods.structured.base import StructuredBlockView, unit_sums

Taylor = Literal["vector", "first", "second", "mix"]
Score = Callable[[Tensor, dict[str, Tensor]], Tensor]  # of a weight (out, in) and its moments


class Moments:
    """The mean gradient (out, in) over sequences and, with `squares`, the mean of its square."""

    def __init__(self, squares: bool):
        self.squares = squares
        self.windows = 0
        self.means: dict[str, Tensor] = {}  # (out, in) each

    def add(self, weight: Tensor, gradient: Tensor) -> None:
        self.windows += 1
        self._average("first", gradient)
        if self.squares:
            self._average("second", gradient.square())

    def tensors(self) -> dict[str, Tensor]:
        return self.means

    def state(self) -> dict[str, Tensor]:
        return self.means | ({"windows": torch.tensor(self.windows)} if self.windows else {})

    def restore(self, state: dict[str, Tensor]) -> None:
        self.windows = int(state["windows"])
        self.means = {name: tensor for name, tensor in state.items() if name != "windows"}

    def _average(self, name: str, value: Tensor) -> None:
        known = self.means.get(name)
        self.means[name] = value.clone() if known is None else known.lerp_(value, 1 / self.windows)


def element_scores(weight: Tensor, moments: dict[str, Tensor], taylor: Taylor) -> Tensor:
    """Return the part of each weight (out, in) in its unit's score, signed for `vector` until the unit is summed.

    `moments` are those of `Moments`.
    """
    if taylor == "vector":
        return weight * moments["first"]
    if taylor == "first":
        return (weight * moments["first"]).abs_()
    curvature = weight.square().mul_(moments["second"])
    if taylor == "second":
        return curvature.abs_()
    return (weight * moments["first"] - curvature / 2).abs_()


def unit_scores(
    view: StructuredBlockView, score: Score, signed: bool = False, fold: str = "contiguous"
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the scores of heads, {role: (heads,)}, and of channels, {role: (channels,)}, by matrix.

    `signed` is that of `unit_sums`. When whole groups are removed, `fold` = `llmpruner`
    assigns query heads k, k + n_kv, k + 2 n_kv ... to key-value head k, as in the authors' code. `contiguous` follows
    the model.
    """
    shape = view.shape
    sums = {
        role: unit_sums(score(view.weight(role), view.gradients[role]), role, shape, signed)
        for role in ("q", "k", "v", "o", *view.ffn_roles, "down")
    }
    channels = {role: sums.pop(role) for role in (*view.ffn_roles, "down")}
    if fold == "llmpruner" and shape.mode == "groups":
        sums |= {role: sums[role].view(shape.group, shape.kv_heads).T.flatten() for role in ("q", "o")}
    return sums, channels


def total(scores: dict[str, Tensor], roles: tuple[str, ...]) -> Tensor:
    """Sum the scores of the matrices with these roles."""
    return torch.stack([scores[role] for role in roles if role in scores]).sum(0)
