"""AutoRound's search: offsets of weights before they are rounded, and the widths of ranges.

It follows the signs of gradients. Gradients pass straight through rounding. V = 0 and whole ranges are rounding to
nearest.
"""

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from core.methods.find import exact_scale, grid_between
from core.methods.numerics.groups import ScaleRule
from core.methods.quantised.base import BlockView
from core.models.parts.blocks import Linear
from core.models.parts.grids import Grid

MOST = 0.5  # largest offset V, in steps of the grid


class LearnedRounding(nn.Module):
    """A rounded weight: an offset V of its shape, and by group the kept shares of the range below and above 0."""

    def __init__(self, linear: Linear, bits: int, group: int, symmetric: bool, rule: ScaleRule = "signed"):
        super().__init__()
        self.bits, self.group, self.symmetric, self.rule = bits, group, symmetric, rule
        self.turned = linear.module.weight.shape != linear.weight.shape or not isinstance(linear.module, nn.Linear)
        weight = linear.weight.float()  # (out, in)
        groups = weight.unflatten(1, (-1, group))
        self.low, self.high = groups.amin(-1).clamp_max(0), groups.amax(-1).clamp_min(0)  # (out, groups)
        self.added = nn.Parameter(torch.zeros_like(weight))
        self.below, self.above = (nn.Parameter(torch.ones_like(self.low)) for _ in range(2))

    def forward(self, weight: Tensor) -> Tensor:
        """Return a module's rounded weight in its own layout."""
        plain = (weight.T if self.turned else weight).float()  # (out, in)
        grid = self.grid()
        exact = exact_scale(*self._ranges(), self.bits, self.symmetric, self.rule)  # (out, groups)
        scale = self._spread(_passing(exact, grid.scale))
        zero = torch.zeros(()) if grid.zero is None else self._spread(grid.zero)
        position = plain / scale + self.added + zero.to(plain)
        codes = _passing(position, position.round()).clamp(grid.lowest, grid.lowest + 2**self.bits - 1)
        rounded = (codes - zero.to(plain)) * scale
        return (rounded.T if self.turned else rounded).to(weight.dtype)

    @torch.no_grad()
    def grid(self) -> Grid:
        """Return the current grid."""
        return grid_between(*self._ranges(), self.bits, self.group, self.symmetric, self.rule)

    @torch.no_grad()
    def settled(self, weight: Tensor) -> tuple[Tensor, Grid]:
        """Return a weight (out, in) rounded with the current offsets, and the current grid."""
        grid = self.grid()
        return grid.nearest(weight + self.added * self._spread(grid.scale)), grid

    def _ranges(self) -> tuple[Tensor, Tensor]:
        """Return the ends of each group's range, (out, groups)."""
        return self.low * self.below, self.high * self.above

    def _spread(self, groups: Tensor) -> Tensor:
        """Repeat the values of groups (out, groups) for each weight (out, in)."""
        return groups.repeat_interleave(self.group, 1)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """Take a step of `rate` against the signs of the gradients of `parameters()`."""
        for parameter, gradient in zip(self.parameters(), gradients, strict=True):
            parameter.sub_(gradient.sign(), alpha=rate)
        self.added.clamp_(-MOST, MOST)
        self.below.clamp_(0, 1)
        self.above.clamp_(0, 1)


def _passing(exact: Tensor, rounded: Tensor) -> Tensor:
    """Return the rounded values, with the gradients of the exact ones."""
    return exact + (rounded - exact).detach()


def learn(
    view: BlockView, made: dict[str, LearnedRounding], iterations: int, rate: float, draw: torch.Generator
) -> None:
    """Train the rounding of a block's linears, by name; each keeps the values of the best iteration.

    An iteration uses one micro-batch. To make iterations comparable, a loss is relative to that of rounding to nearest
    on the same micro-batch.
    """
    parameters = [parameter for one in made.values() for parameter in one.parameters()]
    best, least = [parameter.detach().clone() for parameter in parameters], 1.0
    with ExitStack() as stack, torch.enable_grad():
        for linear in view.linears:
            parametrize.register_parametrization(linear.module, "weight", made[linear.name], unsafe=True)
            stack.callback(parametrize.remove_parametrizations, linear.module, "weight", leave_parametrized=False)
        with torch.no_grad():
            nearest = [float(_loss(view, part)) for part in range(view.parts)]
        for iteration in range(iterations):
            view.alive()
            part = int(torch.randint(view.parts, (1,), generator=draw))
            loss = _loss(view, part)
            share = float(loss.detach()) / max(nearest[part], 1e-30)
            if share < least:
                best, least = [parameter.detach().clone() for parameter in parameters], share
            gradients = iter(torch.autograd.grad(loss, parameters))
            for one in made.values():
                one.step([next(gradients) for _ in one.parameters()], rate * (1 - iteration / iterations))
    for parameter, value in zip(parameters, best, strict=True):
        parameter.data.copy_(value)


def _loss(view: BlockView, part: int) -> Tensor:
    """Return the mean squared difference between the block's output and the dense one on a micro-batch."""
    return (view.run(part).float() - view.dense[part].float()).square().mean()
