"""RIA: scores a weight by its share of its row and column, times a power of its input's norm, without permutation."""

from pydantic import Field

from core.methods.annotations import Tensor
from core.methods.linear import Statistics
from core.methods.terms import Citation
from core.methods.unstructured.base import ScoredByInputs, ScoredByInputsParameters


class RIAParameters(ScoredByInputsParameters):
    exponent: float = Field(
        title="Exponent of the input norm",
        default=0.5,
        ge=0,
        le=4,
        description="Exponent of the input norm; 0 ignores the inputs.",
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
        "RIA scores a weight by its share of its row plus its share of its column, times a power of its input's "
        "norm. So it does not empty a row or column just because all its weights are small. In each layer the "
        "lowest scores become zero, and no other weight changes."
    )
    formulas = (
        r"S_{ij} = \left( \frac{|W_{ij}|}{\sum_{n} |W_{in}|} + \frac{|W_{ij}|}{\sum_{n} |W_{nj}|} \right) "
        r"\lVert X_j \rVert_2^{\,a}",
    )
    symbols = {
        "n": "index over the row, then over the column",
        "a": "the exponent parameter",
    }
    Parameters = RIAParameters

    def score(self, weight: Tensor, statistics: Statistics) -> Tensor:
        size = weight.abs()  # (out, in)
        share = size / size.sum(1, keepdim=True) + size / size.sum(0)
        return share.nan_to_num(0) * statistics.sqnorm.sqrt() ** self.parameters.exponent
