"""RIA: a weight's share of its row and of its column, times a power of its input's norm; channels stay in place.

References: Zhang et al., Plug-and-Play: An Efficient Post-training Pruning Method for Large Language Models, ICLR 2024.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from core.methods.inputs import Statistics
from core.methods.terms import Citation
from core.methods.unstructured.scored import ScoredByInputs, ScoredByInputsParameters

if TYPE_CHECKING:
    from torch import Tensor


class RIAParameters(ScoredByInputsParameters):
    exponent: float = Field(
        title="Power of the input's norm",
        default=0.5,
        ge=0,
        le=4,
        description="Power of the input's norm; 0 leaves inputs out.",
    )


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
    idea = (
        "A weight is judged by its share of its own row and column, so that none of them is emptied because all its "
        "weights are small, and by a power of its input's norm. The weights of a layer with the lowest product become "
        "zero, and no other weight changes."
    )
    formulas = (
        r"S_{ij} = \left( \frac{|W_{ij}|}{\sum_{n} |W_{in}|} + \frac{|W_{ij}|}{\sum_{n} |W_{nj}|} \right) "
        r"\lVert X_j \rVert_2^{\,a}",
    )
    symbols = {
        "n": "runs over the row, then over the column",
        "a": "the exponent",
    }
    colour = 4
    dash = "longdash"
    parameters: RIAParameters
    Parameters = RIAParameters

    def score(self, weight: Tensor, statistics: Statistics) -> Tensor:
        size = weight.abs()  # (out, in)
        share = size / size.sum(1, keepdim=True) + size / size.sum(0)
        return share.nan_to_num(0) * statistics.sqnorm.sqrt() ** self.parameters.exponent
