"""Magnitude pruning: the smallest |w| go.

References: Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015 (arXiv:1506.02626).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from core.methods.base import Citation, Compressed, Method, Parameters, Statistics, Target

if TYPE_CHECKING:
    from torch import Tensor


class MagnitudeParameters(Parameters):
    scope: Literal["layer", "global"] = Field(
        default="layer",
        description="Rank weights inside each linear, so that each reaches the ratio, or over all block linears.",
    )
    cap: float = Field(
        default=0.95,
        gt=0,
        lt=1,
        description="Highest sparsity of one linear under global ranking; it keeps a linear from being emptied.",
    )


class Magnitude(Method):
    name = "magnitude"
    label = "Magnitude"
    family = "unstructured"
    citation = Citation(
        title="Learning both Weights and Connections for Efficient Neural Networks",
        authors="Han et al.",
        year=2015,
        url="https://arxiv.org/abs/1506.02626",
    )
    summary = "Zeroes the weights with the smallest absolute value; reads no data."
    patterns = True
    Parameters = MagnitudeParameters

    def plan(self, weights: Mapping[str, Tensor], target: Target, observed: Mapping[str, Tensor]) -> dict[str, Any]:
        if self.parameters.scope == "layer" or target.pattern:
            return {}
        from core.methods.unstructured.masks import global_counts

        return global_counts(weights, target.ratio, self.parameters.cap)

    def compress(self, weight: Tensor, statistics: Statistics | None, target: Target, plan: Any = None) -> Compressed:
        from core.methods.unstructured.masks import pattern_mask, smallest_mask

        score = weight.abs()  # (out, in)
        if target.pattern:
            pruned = pattern_mask(score, *target.pattern)
        else:
            count = round(target.ratio * weight.numel()) if plan is None else plan
            pruned = smallest_mask(score.flatten(), count).view_as(weight)
        return Compressed(weight.masked_fill_(pruned, 0))
