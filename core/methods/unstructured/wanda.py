"""Wanda: prunes by |w_ij| * ||x_j||, compared within each output row, without updating other weights."""

from core.methods.annotations import Tensor
from core.methods.linear import Statistics
from core.methods.terms import Citation
from core.methods.unstructured.base import ScoredByInputs


class Wanda(ScoredByInputs):
    name = "wanda"
    label = "Wanda"
    citation = Citation(
        title="A Simple and Effective Pruning Approach for Large Language Models",
        authors="Sun et al.",
        year=2023,
        url="https://arxiv.org/abs/2306.11695",
        part="equation 1",
    )
    summary = (
        "Zeroes, in each output row, the weights with the smallest |weight| x input norm; changes no other weight."
    )
    idea = (
        "A weight's contribution to an output is its size times the size of its input, measured on the "
        "calibration data. In each output row the weights with the smallest product become zero. No other weight "
        "changes."
    )
    formulas = (r"S_{ij} = |W_{ij}| \cdot \lVert X_j \rVert_2",)
    comparison_group = "row"

    def score(self, weight: Tensor, statistics: Statistics) -> Tensor:
        return weight.abs() * statistics.sqnorm.sqrt()  # (out, in)
