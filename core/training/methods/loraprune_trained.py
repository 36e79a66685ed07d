"""LoRAPrune as in its paper: gradual removal of heads and channels during the training of a LoRA adapter."""

from pydantic import Field

from core.methods.annotations import Blocks
from core.methods.structured.base import StructuredBlockView
from core.methods.structured.gradients import GradientParameters, KeepEndBlocks
from core.methods.structured.loraprune import LoRAPrune
from core.training.base import Pruning, RecoveryParameters, TrainPruneMethod


class LoRAPruneTrainedParameters(RecoveryParameters, GradientParameters):
    every: int = Field(
        title="Steps between removals",
        default=10,
        ge=1,
        description="Optimiser steps between two removals of heads and channels.",
    )
    warmup: float = Field(
        title="Warm-up share",
        default=0.1,
        ge=0,
        lt=0.5,
        description="Share of the training before the first removal.",
    )
    cooldown: float = Field(
        title="Cool-down share",
        default=0.1,
        gt=0,
        lt=0.5,
        description="Share of the training after the last removal.",
    )


class LoRAPruneTrained(KeepEndBlocks, TrainPruneMethod):
    name = "loraprune-trained"
    label = "LoRAPrune while training"
    short_label = "LoRAPrune trained"
    family = "structured"
    version = 2
    ratio_kind = "parameters"
    requires = "heads"
    leaves = frozenset({"shapes"})
    accepts = TrainPruneMethod.accepts - {"factors"}
    citation = LoRAPrune.citation.model_copy(update={"part": "sections 3.2 and 3.3, equations 9 and 11"})
    summary = "Removes heads and channels gradually during the training of low-rank adapters, by their gradients."
    idea = (
        "The adapters' own gradients score heads and channels at every training step, so the model adapts during the "
        "removal. After a warm-up the removal follows a cubic curve, and a cool-down trains the smaller model."
    )
    formulas = (
        r"\hat{G} = \frac{\partial \mathcal{L}}{\partial B}\, A + B\, \frac{\partial \mathcal{L}}{\partial A} "
        r"- \frac{\partial \mathcal{L}}{\partial B}\, \frac{\partial \mathcal{L}}{\partial A}",
        r"s_u = \sum_{ij \in u} \left| \hat{G}_{ij}\, (W + c\,BA)_{ij} \right|",
        r"S_u = \sum_{W} \overline{\, s_u / \lVert s \rVert_2 \,}",
        r"p_t = p \left( 1 - (1 - t)^3 \right)",
    )
    symbols = {
        "G": "estimate of the gradient of the loss by the weights",
        "c": "scale of the adapter, alpha over rank",
        "s": "scores of the units from one matrix",
        r"\overline{\,\cdot\,}": "moving average over steps",
        "p_t": "pruning ratio at time t, which is 0 after the warm-up and 1 before the cool-down",
    }
    whole = LoRAPrune.whole
    Parameters = LoRAPruneTrainedParameters

    def pruning(self, blocks: Blocks, ratio: float) -> Pruning:
        from core.models.removal.units import check_heads, find_units
        from core.training.methods.unit_masks import UnitMasks

        own = self.parameters
        views = [StructuredBlockView(find_units(blocks, index, own.attention)) for index in range(len(blocks.holder))]
        for view in views:
            check_heads(view.units)
        return UnitMasks(views, self.allocate(views, ratio), own.every, own.warmup, own.cooldown)
