"""Wanda: prune by |w_ij| * ||x_j||, compared within each output row; no weight update.

References: Sun et al., A Simple and Effective Pruning Approach for Large Language Models, 2023 (arXiv:2306.11695),
equation 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.methods.base import Citation, Compressed, Method, Statistics, Target, WalkerParameters

if TYPE_CHECKING:
    from torch import Tensor


class Wanda(Method):
    name = "wanda"
    label = "Wanda"
    family = "unstructured"
    citation = Citation(
        title="A Simple and Effective Pruning Approach for Large Language Models",
        authors="Sun et al.",
        year=2023,
        url="https://arxiv.org/abs/2306.11695",
    )
    summary = (
        "Zeroes, in each output row, the weights with the smallest |weight| x input norm; changes no other weight."
    )
    needs = "sqnorm"
    patterns = True
    Parameters = WalkerParameters

    def compress(self, weight: Tensor, statistics: Statistics | None, target: Target, plan: Any = None) -> Compressed:
        from core.methods.unstructured.masks import pattern_mask, smallest_mask

        score = weight.abs() * statistics.sqnorm.sqrt()  # (out, in)
        if target.pattern:
            pruned = pattern_mask(score, *target.pattern)
        else:
            pruned = smallest_mask(score, round(target.ratio * weight.shape[1]))
        return Compressed(weight.masked_fill_(pruned, 0))
