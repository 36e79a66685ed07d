"""A new score: magnitudes divided by the mean of their row."""

from torch import Tensor

from core.methods.linear import Statistics
from core.methods.terms import Citation
from core.methods.unstructured.base import ScoreMethod


class RowMagnitude(ScoreMethod):
    name = "row-magnitude"
    label = "Row magnitude"
    citation = Citation(
        title="Learning both Weights and Connections for Efficient Neural Networks",
        authors="Han et al.",
        year=2015,
        url="https://arxiv.org/abs/1506.02626",
    )
    summary = "Zeroes the weights that are small within their row."
    idea = "Rows differ in scale. A weight is compared with the mean magnitude of its row."
    formulas = (r"S_{ij} = |W_{ij}| \, / \, m_i",)
    symbols = {"m": "mean magnitude of the row"}
    colour = 0
    marker = "star-square"

    def score(self, weight: Tensor, statistics: Statistics) -> Tensor:
        return weight.abs() / weight.abs().mean(1, keepdim=True)  # (out, in)
