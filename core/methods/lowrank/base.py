"""Base of low-rank methods: they plan ranks over all matrices and replace each matrix by two factors.

Two factors of rank r of a matrix (m, n) have r (m + n) weights, fewer than the matrix if r < m n / (m + n). Ranks
follow from the shape of each matrix, so the narrow k and v of grouped heads get ranks of their own. Reference: Wang et
al., SVD-LLM, 2024 (arXiv:2403.07378), section 3; the global allocation is this project's own.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from core.methods.annotations import Linear, ModelShape, Tensor, TextWindows
from core.methods.linear import Compressed, LinearMethod, Plan, Statistics, Target
from core.methods.numerics.levels import Choices, spend
from core.methods.parameters import ShiftedParameters
from core.methods.terms import STORED, Trait

Shapes = Mapping[str, tuple[int, int]]
Ranks = dict[str, int | None]  # None: the matrix stays whole
STEPS = 100  # of the bisection over the price of a weight
DECOMPOSITION = 20  # operations of an SVD, divided by the matrix size times its smaller side


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
    import torch

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


class LowRankParameters(ShiftedParameters):
    ranks: Literal["uniform", "global"] = Field(
        title="Ranks of the matrices",
        default="uniform",
        description="uniform: every matrix loses the same share of its weights. global: ranks with the smallest "
        "total error; some matrices stay whole.",
    )

    @property
    def even(self) -> bool:
        return self.ranks == "uniform"


class LowRank(LinearMethod):
    """A low-rank method; subclasses define in `scale` how to weight the inputs of a linear."""

    family = "low rank"
    ratio_kind = "parameters"
    leaves = frozenset({"factors"})
    accepts = STORED - {"zeros", "pattern", "grid", "factors", "basis"}
    Parameters = LowRankParameters

    @property
    def spectra(self) -> str:
        """Name of the observed singular values."""
        raise NotImplementedError

    @property
    def observations(self) -> tuple[str, ...]:
        return (self.spectra,) if self.parameters.ranks == "global" else ()

    def refusal(self, trait: Trait) -> str:
        inserted = "cannot factor the shortcut matrices that {label} inserted"
        return inserted if trait == "basis" else super().refusal(trait)

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Add a singular value decomposition of each linear."""
        return super().cost(shape, text) + DECOMPOSITION * shape.block_weights * shape.hidden

    def scale(self, statistics: Statistics) -> tuple[Tensor | None, str | None]:
        """Return the scale of the inputs, (in,) or lower triangular (in, in), None for 1; and a note."""
        raise NotImplementedError

    def observe(self, weight: Tensor, statistics: Statistics) -> Tensor:
        from core.methods.numerics.hessian import spectrum

        return spectrum(weight, self._scale(statistics)[0])

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> Plan:
        shapes = {linear.name: linear.shape for linear in linears}
        if self.parameters.ranks == "global":
            return global_ranks(shapes, observed, target.ratio)
        return uniform_ranks(shapes, target.ratio)

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: int | None = None) -> Compressed:
        from core.methods.numerics.hessian import truncate

        if plan is None:
            return Compressed(weight)
        scale, note = self._scale(statistics)
        left, right = (factor.float() for factor in truncate(weight, scale, plan))
        return Compressed(left @ right, factors=(left, right), note="; ".join(filter(None, (f"rank {plan}", note))))

    def _scale(self, statistics: Statistics) -> tuple[Tensor | None, str | None]:
        return statistics.once("scale", lambda: self.scale(statistics))
