"""Base of low-rank methods: they plan ranks over all matrices and replace each matrix by two factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from core.methods.inputs import Compressed, Plan, Statistics, Target
from core.methods.linear import LinearMethod
from core.methods.parameters import ShiftedParameters
from core.methods.traits import STORED, Trait

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.parts.blocks import Linear
    from core.models.shape import ModelShape
    from core.specs import TextWindows

DECOMPOSITION = 20  # operations of an SVD, divided by the matrix size times its smaller side


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
    accepts = STORED - {"zeros", "pattern", "grid", "factors", "convolutions", "basis"}
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
        from core.methods.numerics.decompose import spectrum

        return spectrum(weight, self._scale(statistics)[0])

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> Plan:
        from core.methods.lowrank.ranks import global_ranks, uniform_ranks

        shapes = {linear.name: linear.shape for linear in linears}
        if self.parameters.ranks == "global":
            return global_ranks(shapes, observed, target.ratio)
        return uniform_ranks(shapes, target.ratio)

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: int | None = None) -> Compressed:
        from core.methods.numerics.decompose import truncate

        if plan is None:
            return Compressed(weight)
        scale, note = self._scale(statistics)
        left, right = (factor.float() for factor in truncate(weight, scale, plan))
        return Compressed(left @ right, factors=(left, right), note="; ".join(filter(None, (f"rank {plan}", note))))

    def _scale(self, statistics: Statistics) -> tuple[Tensor | None, str | None]:
        return statistics.once("scale", lambda: self.scale(statistics))
