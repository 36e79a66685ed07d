"""Expert frequency: removes the experts to which the router sends the fewest tokens, a baseline.

References: Lasby et al., 2025 (arXiv:2510.13999), which compares REAP with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.methods.structured.experts.base import ExpertMethod, RoutingStatistics
from core.methods.structured.experts.reap import REAP

if TYPE_CHECKING:
    from torch import Tensor


class ExpertFrequency(ExpertMethod):
    name = "expert-frequency"
    label = "Expert frequency"
    citation = REAP.citation
    summary = "Removes the experts to which the router sends the fewest tokens."
    idea = (
        "The router of a mixture of experts uses some experts rarely. Those with the fewest calibration tokens are "
        "removed from every layer, and the router chooses among the others. It ignores what an expert computes, so "
        "it is the baseline for REAP."
    )
    formulas = (r"S_e = |T_e|",)
    symbols = {
        "S_e": "importance of an expert; the lowest in a layer are removed",
        "T_e": "tokens that the router sends the expert",
    }

    def scores(self, layer: RoutingStatistics) -> Tensor:
        return layer.tokens
