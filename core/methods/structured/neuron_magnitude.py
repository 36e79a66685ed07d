"""Neuron pruning by weight norm: removes the whole heads and FFN neurons with the smallest weights.

The paper's criterion, summed over all weights of a unit, as a baseline that every structured method must beat.
"""

from core.methods.annotations import Tensor
from core.methods.structured.base import StructuredBlockView, UnitMethod, head_sums
from core.methods.terms import Citation


class NeuronMagnitude(UnitMethod):
    name = "neuron-magnitude"
    label = "Neuron magnitude"
    version = 2
    citation = Citation(
        title="Learning both Weights and Connections for Efficient Neural Networks",
        authors="Han et al.",
        year=2015,
        url="https://arxiv.org/abs/1506.02626",
    )
    summary = "Removes the attention heads and FFN neurons whose own weights have the smallest norm."
    idea = (
        "A head or FFN neuron with small weights adds little to its block. In every block, those with the "
        "smallest sum of squared weights are removed from all their matrices. So the model really gets smaller."
    )
    formulas = (r"S_u = \sum_{w \in u} w^2",)

    def head_scores(self, view: StructuredBlockView) -> tuple[Tensor, Tensor]:
        queries = _rows(view, "q") + _columns(view, "o")
        keys = _rows(view, "k") + _rows(view, "v")
        return head_sums(queries, view.shape.query_heads), head_sums(keys, view.shape.kv_heads)

    def channel_scores(self, view: StructuredBlockView) -> Tensor:
        return sum(_rows(view, role) for role in view.ffn_roles) + _columns(view, "down")


def _rows(view: StructuredBlockView, role: str) -> Tensor:
    return view.weight(role).square().sum(1)


def _columns(view: StructuredBlockView, role: str) -> Tensor:
    return view.weight(role).square().sum(0)
