"""What low-rank methods share: ranks planned over all matrices, each then replaced by its two factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from core.methods.base import Compressed, Method, Parameters, Statistics, Target

if TYPE_CHECKING:
    from torch import Tensor


class LowRankParameters(Parameters):
    ranks: Literal["uniform", "global"] = Field(
        default="uniform",
        description="Whether every matrix loses the same share of its weights, or those that lose least by it lose "
        "more and some stay whole.",
    )


class LowRank(Method):
    """Subclasses say in `scale` how the inputs of a linear are weighed."""

    family = "low rank"
    ratio_kind = "parameters"
    Parameters = LowRankParameters

    def scale(self, statistics: Statistics | None) -> tuple[Tensor | None, str | None]:
        """Return the scale of the inputs, (in,) or (in, in) lower triangular, None for 1; and a note."""
        raise NotImplementedError

    def observe(self, weight: Tensor, statistics: Statistics | None) -> Tensor:
        from core.methods.lowrank.decompose import spectrum

        return spectrum(weight, self._scale(statistics)[0])

    def plan(self, weights: Mapping[str, Tensor], target: Target, observed: Mapping[str, Tensor]) -> dict[str, Any]:
        from core.methods.lowrank.ranks import global_ranks, uniform_ranks

        shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        if self.parameters.ranks == "global":
            return global_ranks(shapes, observed, target.ratio)
        return uniform_ranks(shapes, target.ratio)

    def compress(self, weight: Tensor, statistics: Statistics | None, target: Target, plan: Any = None) -> Compressed:
        from core.methods.lowrank.decompose import truncate

        if plan is None:
            return Compressed(weight)
        scale, note = self._scale(statistics)
        left, right = (factor.float() for factor in truncate(weight, scale, plan))
        return Compressed(left @ right, factors=(left, right), note="; ".join(filter(None, (f"rank {plan}", note))))

    def _scale(self, statistics: Statistics | None) -> tuple[Tensor | None, str | None]:
        return self.scale(None) if statistics is None else statistics.once("scale", lambda: self.scale(statistics))
