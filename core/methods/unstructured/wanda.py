"""Wanda: prune by |w_ij| * ||x_j||, compared within each output row; no weight update.

References: Sun et al., A Simple and Effective Pruning Approach for Large Language Models, 2023 (arXiv:2306.11695),
equation 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.methods.base import Citation, Statistics
from core.methods.unstructured.scored import ScoredByInputs

if TYPE_CHECKING:
    from torch import Tensor


class Wanda(ScoredByInputs):
    name = "wanda"
    label = "Wanda"
    citation = Citation(
        title="A Simple and Effective Pruning Approach for Large Language Models",
        authors="Sun et al.",
        year=2023,
        url="https://arxiv.org/abs/2306.11695",
    )
    summary = (
        "Zeroes, in each output row, the weights with the smallest |weight| x input norm; changes no other weight."
    )
    colour = 1
    dash = "dash"
    compared = "row"

    def score(self, weight: Tensor, statistics: Statistics) -> Tensor:
        return weight.abs() * statistics.sqnorm.sqrt()  # (out, in)
