"""What methods share that are a score of each weight: masks, N:M patterns, and how much each linear loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from core.methods.base import Compressed, LinearMethod, MethodParameters, Statistics, Sum, Target, WalkerParameters

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.parts.blocks import Linear


class ScoredParameters(MethodParameters):
    scope: Literal["layer", "global"] = Field(
        title="Where weights are ranked",
        default="layer",
        description="Rank weights inside each linear, so that each reaches the ratio, or over all block linears.",
    )
    cap: float = Field(
        title="Highest sparsity of a linear",
        default=0.95,
        gt=0,
        lt=1,
        description="Highest sparsity of one linear under global ranking; it keeps a linear from being emptied.",
    )


class Scored(LinearMethod):
    """Zeroes the weights with the smallest `score`; no other weight changes."""

    family = "unstructured"
    patterns = True
    mark = "circle"
    # Which weights compete where no pattern says so: those of an output row, or of the whole linear.
    compared: ClassVar[Literal["row", "linear"]] = "linear"
    parameters: ScoredParameters
    Parameters = ScoredParameters

    def score(self, weight: Tensor, statistics: Statistics) -> Tensor:
        """Return the importance of each weight (out, in); may not change the weight."""
        raise NotImplementedError

    def rounding(self, blocks: int, inputs: int) -> float:
        return 0.5 / inputs

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return how many weights each linear loses where all are ranked together."""
        if self.parameters.scope == "layer" or target.pattern:
            return {}
        from core.methods.masks import global_counts, zeros_lowest

        weights = {linear.name: linear.weight for linear in linears}
        zeros = {linear.name: linear.zeros for linear in linears}

        def score(name: str) -> Tensor:
            known: dict[Sum, Tensor] = {"sqnorm": observed[name].to(weights[name].device)} if observed else {}
            return zeros_lowest(self.score(weights[name].float(), Statistics(1, known)), zeros[name])

        sizes = {name: weight.numel() for name, weight in weights.items()}
        bound = {linear.name: linear.bound for linear in linears}
        return global_counts(sizes, score, target.ratio, self.parameters.cap, bound)

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: Any = None) -> Compressed:
        from core.methods.masks import pattern_mask, row_mask, smallest_mask, zeros_lowest

        score = zeros_lowest(self.score(weight, statistics), target.zeros)  # (out, in)
        ratio = target.ratio if plan is None else plan / weight.numel()
        if target.pattern:
            pruned = pattern_mask(score, *target.pattern)
            pruned = pruned if target.zeros is None else pruned | target.zeros
        elif self.compared == "row" and target.zeros is not None:
            pruned = row_mask(score, target.zeros, round(ratio * weight.numel()))
        elif self.compared == "row":
            pruned = smallest_mask(score, round(ratio * weight.shape[1]))
        else:
            pruned = smallest_mask(score.flatten(), round(ratio * weight.numel())).view_as(weight)
        return Compressed(weight.masked_fill_(pruned, 0), zeros=pruned)


class ScoredByInputsParameters(WalkerParameters, ScoredParameters):
    pass


class ScoredByInputs(Scored):
    """A score of a weight and the norm of its input."""

    reads = "calibration"
    parameters: ScoredByInputsParameters
    Parameters = ScoredByInputsParameters

    def sums(self, role: str) -> frozenset[Sum]:
        return frozenset({"sqnorm"})

    @property
    def observations(self) -> tuple[str, ...]:
        return ("squared norms of the inputs",) if self.parameters.scope == "global" else ()

    def observe(self, weight: Tensor, statistics: Statistics) -> Tensor:
        return statistics.sqnorm
