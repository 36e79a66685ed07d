"""Magnitude pruning: removes the weights with the smallest |w|."""

from core.methods.annotations import Tensor
from core.methods.linear import Statistics
from core.methods.terms import Citation
from core.methods.unstructured.base import ScoreMethod


class Magnitude(ScoreMethod):
    name = "magnitude"
    label = "Magnitude"
    citation = Citation(
        title="Learning both Weights and Connections for Efficient Neural Networks",
        authors="Han et al.",
        year=2015,
        url="https://arxiv.org/abs/1506.02626",
    )
    summary = "Zeroes the weights with the smallest absolute value; uses no data."
    idea = (
        "A weight near zero adds little to its layer's output, so the weights with the smallest absolute value "
        "become zero. Magnitude pruning uses no data, so it cannot see that a small weight on a large input "
        "matters."
    )
    formulas = ("S_{ij} = |W_{ij}|",)

    def score(self, weight: Tensor, statistics: Statistics) -> Tensor:
        return weight.abs()
