"""REAP: removes the experts that add least to the outputs of their layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.methods.structured.experts.base import ExpertMethod, RoutingStatistics
from core.methods.terms import Citation

if TYPE_CHECKING:
    from torch import Tensor


class REAP(ExpertMethod):
    name = "reap"
    label = "REAP"
    citation = Citation(
        title="REAP the Experts: Why Pruning Prevails for One-Shot MoE Compression",
        authors="Lasby et al.",
        year=2025,
        url="https://arxiv.org/abs/2510.13999",
    )
    summary = "Removes the experts whose outputs, weighted by the router, are smallest on the tokens that they get."
    idea = (
        "A mixture of experts sends each token to a few of many experts. REAP measures how much an expert adds to the "
        "tokens that it gets: the router's weight times the size of the expert's output. The experts with the lowest "
        "mean are removed from every layer, and the router chooses among the others."
    )
    formulas = (r"S_e = \frac{1}{|T_e|} \sum_{t \in T_e} g_e(x_t)\, \lVert f_e(x_t) \rVert_2",)
    symbols = {
        "S_e": "importance of an expert; the lowest in a layer are removed",
        "x_t": "hidden state of token t",
        "T_e": "tokens that the router sends the expert",
        "g_e": "weight that the router gives the expert",
        "f_e": "output of the expert",
    }

    def scores(self, layer: RoutingStatistics) -> Tensor:
        """Return the mean contribution to a token; 0 for an expert that no token reached."""
        return layer.contribution / layer.tokens.clamp(min=1)
