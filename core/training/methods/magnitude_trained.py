"""Magnitude pruning as its paper has it: prune, retrain, and prune more.

References: Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015 (arXiv:1506.02626),
section 3. What is retrained are low-rank adapters on every block linear, masked like the weights.
"""

from pydantic import Field

from core.methods.base import Citation, Method
from core.training.base import RecoveryParameters


class MagnitudeTrainedParameters(RecoveryParameters):
    rounds: int = Field(
        default=5,
        ge=1,
        le=100,
        description="How often more of the smallest weights go, each time followed by training.",
    )


class MagnitudeTrained(Method):
    name = "magnitude-trained"
    label = "Magnitude while training"
    family = "unstructured"
    scope = "training"
    needs = "training"
    citation = Citation(
        title="Learning both Weights and Connections for Efficient Neural Networks",
        authors="Han et al.",
        year=2015,
        url="https://arxiv.org/abs/1506.02626",
    )
    summary = "Zeroes the smallest weights of each linear in rounds, and trains low-rank adapters after each."
    Parameters = MagnitudeTrainedParameters
