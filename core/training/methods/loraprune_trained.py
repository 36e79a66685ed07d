"""LoRAPrune as its paper has it: heads and channels go little by little while a LoRA adapter is trained.

References: Zhang et al., LoRAPrune: Structured Pruning Meets Low-Rank Parameter-Efficient Fine-Tuning, 2023
(arXiv:2305.18403), sections 3.2 and 3.3.
"""

from pydantic import Field

from core.methods.structured.llm_pruner import GradientParameters, GradientStructured
from core.methods.structured.loraprune import LoRAPrune
from core.training.base import RecoveryParameters


class LoRAPruneTrainedParameters(RecoveryParameters, GradientParameters):
    every: int = Field(default=10, ge=1, description="Steps of the optimiser between two looks at what may go.")
    warmup: float = Field(default=0.1, ge=0, lt=0.5, description="Share of the training before anything goes.")
    cooldown: float = Field(default=0.1, gt=0, lt=0.5, description="Share of the training after all that goes is gone.")


class LoRAPruneTrained(GradientStructured):
    name = "loraprune-trained"
    label = "LoRAPrune while training"
    version = 2
    scope = "training"
    needs = "training"
    observes = "nothing"
    citation = LoRAPrune.citation
    summary = "Removes heads and channels little by little while low-rank adapters are trained, by their gradients."
    whole = LoRAPrune.whole
    Parameters = LoRAPruneTrainedParameters
