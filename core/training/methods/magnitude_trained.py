"""Magnitude pruning as its paper has it: prune, retrain, and prune more.

References: Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015 (arXiv:1506.02626),
section 3. What is retrained are low-rank adapters on every block linear, masked like the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from core.methods.terms import Citation
from core.training.base import Pruning, RecoveryParameters, TrainPruneMethod

if TYPE_CHECKING:
    from core.models.parts.blocks import Blocks


class MagnitudeTrainedParameters(RecoveryParameters):
    rounds: int = Field(
        title="Rounds of removal",
        default=5,
        ge=1,
        le=100,
        description="How often more of the smallest weights go, each time followed by training.",
    )


class MagnitudeTrained(TrainPruneMethod):
    name = "magnitude-trained"
    label = "Magnitude while training"
    family = "unstructured"
    citation = Citation(
        title="Learning both Weights and Connections for Efficient Neural Networks",
        authors="Han et al.",
        year=2015,
        url="https://arxiv.org/abs/1506.02626",
        part="section 3",
    )
    summary = "Zeroes the smallest weights of each linear in rounds, and trains low-rank adapters after each."
    idea = (
        "Pruning in rounds with training in between lets the weights that stay take over from those that go. In each "
        "round more of the smallest weights of every layer become zero, and low-rank adapters, masked like the "
        "weights, are trained on a text."
    )
    formulas = (
        r"S_{ij} = \left| W_{ij} + s\,(BA)_{ij} \right|",
        r"p_n = \frac{n}{N}\, p",
    )
    symbols = {
        "s": "scale of the adapter, alpha over rank",
        "p_n": "share that is gone after round n",
        "N": "number of rounds",
    }
    colour = 0
    parameters: MagnitudeTrainedParameters
    Parameters = MagnitudeTrainedParameters

    def pruning(self, blocks: Blocks, ratio: float) -> Pruning:
        from core.training.methods.weight_masks import WeightMasks

        return WeightMasks(blocks, ratio, self.parameters.rounds)
