"""Magnitude pruning as in its paper: prune, retrain, and prune more.

The training changes low-rank adapters on every block linear, with the mask of the weights.
"""

from pydantic import Field

from core.methods.annotations import Blocks
from core.methods.unstructured.magnitude import Magnitude
from core.training.base import Pruning, RecoveryParameters, TrainPruneMethod


class MagnitudeTrainedParameters(RecoveryParameters):
    rounds: int = Field(
        title="Pruning rounds",
        default=5,
        ge=1,
        le=100,
        description="Rounds of pruning, each followed by training.",
    )


class MagnitudeTrained(TrainPruneMethod):
    name = "magnitude-trained"
    label = "Magnitude while training"
    short_label = "Magnitude trained"
    family = "unstructured"
    leaves = frozenset({"zeros"})
    citation = Magnitude.citation.model_copy(update={"part": "section 3"})
    summary = "Zeroes the smallest weights of each linear in rounds, and trains low-rank adapters after each round."
    idea = (
        "Training between rounds of pruning lets the remaining weights compensate for the removed ones. Each round "
        "zeroes more of the smallest weights of every linear, then trains low-rank adapters with the same mask on a "
        "text."
    )
    formulas = (
        r"S_{ij} = \left| W_{ij} + s\,(BA)_{ij} \right|",
        r"p_n = \frac{n}{N}\, p",
    )
    symbols = {
        "s": "scale of the adapter, alpha over rank",
        "p_n": "pruning ratio after round n",
        "N": "number of rounds",
    }
    Parameters = MagnitudeTrainedParameters

    def pruning(self, blocks: Blocks, ratio: float) -> Pruning:
        from core.training.methods.weight_masks import WeightMasks

        return WeightMasks(blocks, ratio, self.parameters.rounds)
