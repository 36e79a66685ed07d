"""RIA: a weight's share of its row and of its column, times a power of its input's norm; channels stay in place.

References: Zhang et al., Plug-and-Play: An Efficient Post-training Pruning Method for Large Language Models, ICLR 2024.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from core.methods.base import Citation, Statistics
from core.methods.unstructured.scored import ScoredByInputs, ScoredByInputsParameters

if TYPE_CHECKING:
    from torch import Tensor


class RIAParameters(ScoredByInputsParameters):
    exponent: float = Field(default=0.5, ge=0, le=4, description="Power of the input's norm; 0 leaves inputs out.")


class RIA(ScoredByInputs):
    name = "ria"
    label = "RIA"
    citation = Citation(
        title="Plug-and-Play: An Efficient Post-training Pruning Method for Large Language Models",
        authors="Zhang et al.",
        year=2024,
        url="https://openreview.net/forum?id=Tr0lPx9woF",
    )
    summary = "Zeroes the weights that are a small share of their row and column, weighted by their input's norm."
    colour = 4
    parameters: RIAParameters
    Parameters = RIAParameters

    def score(self, weight: Tensor, statistics: Statistics) -> Tensor:
        size = weight.abs()  # (out, in)
        share = size / size.sum(1, keepdim=True) + size / size.sum(0)
        return share.nan_to_num(0) * statistics.sqnorm.sqrt() ** self.parameters.exponent
