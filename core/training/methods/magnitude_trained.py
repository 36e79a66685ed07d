"""Magnitude pruning as its paper has it: prune, retrain, and prune more.

References: Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015 (arXiv:1506.02626),
section 3. What is retrained are low-rank adapters on every block linear, masked like the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from core.methods.base import Citation
from core.training.base import Pruning, RecoveryParameters, TrainedMethod

if TYPE_CHECKING:
    from core.models.parts.blocks import Blocks


class MagnitudeTrainedParameters(RecoveryParameters):
    rounds: int = Field(
        default=5,
        ge=1,
        le=100,
        description="How often more of the smallest weights go, each time followed by training.",
    )


class MagnitudeTrained(TrainedMethod):
    name = "magnitude-trained"
    label = "Magnitude while training"
    family = "unstructured"
    citation = Citation(
        title="Learning both Weights and Connections for Efficient Neural Networks",
        authors="Han et al.",
        year=2015,
        url="https://arxiv.org/abs/1506.02626",
    )
    summary = "Zeroes the smallest weights of each linear in rounds, and trains low-rank adapters after each."
    colour = 0
    parameters: MagnitudeTrainedParameters
    Parameters = MagnitudeTrainedParameters

    def pruning(self, blocks: Blocks, ratio: float) -> Pruning:
        from core.training.methods.weight_masks import WeightMasks

        return WeightMasks(blocks, ratio, self.parameters.rounds)
