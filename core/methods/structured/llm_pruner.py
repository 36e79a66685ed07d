"""LLM-Pruner: removes coupled heads and channels by first- and second-order Taylor scores of the loss.

Heads and channels are scored inside each block; the first and last blocks stay whole.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Literal

from pydantic import Field

from core.amount import Amount
from core.methods.annotations import Tensor
from core.methods.parameters import MethodParameters
from core.methods.structured.base import (
    BlockRemovalMethod,
    HiddenSizeMethod,
    StructuredBlockView,
    StructuredMethod,
    keep_largest,
)
from core.methods.structured.budget import blocks_left
from core.methods.structured.gradients import (
    GradientParameters,
    Gradients,
    GradientUnitMethod,
    element_scores,
    total,
    unit_scores,
)
from core.methods.terms import Citation


class LLMPrunerParameters(GradientParameters):
    granularity: Literal["block", "channel", "layer"] = Field(
        title="Removed parts",
        default="block",
        description="block: heads and FFN channels inside blocks. channel: entries of the hidden states in every "
        "matrix. layer: the last whole blocks.",
    )
    taylor: Literal["vector", "first", "second", "mix"] = Field(
        title="Taylor score",
        default="first",
        description="Score of a unit from weight times gradient. vector: absolute value of the sum. first: sum of "
        "absolute values. second: sum of the curvature terms. mix: both terms together.",
    )
    fold: Literal["contiguous", "llmpruner"] = Field(
        title="Query heads of a shared key",
        default="contiguous",
        description="Query heads that count for a shared key-value head. contiguous: those that read it. "
        "llmpruner: the strided ones, as in the authors' code.",
    )


class _Declared(StructuredMethod):
    """The declaration that all granularities share."""

    name = "llm-pruner"
    label = "LLM-Pruner"
    version = 2
    citation = Citation(
        title="LLM-Pruner: On the Structural Pruning of Large Language Models",
        authors="Ma et al.",
        year=2023,
        url="https://arxiv.org/abs/2305.11627",
        part="section 3, equations 3 to 5",
    )
    summary = "Removes the coupled heads and channels that the loss needs least, by their weights times gradients."
    idea = (
        "Weight times gradient estimates how much the loss changes without the weight. The score of a unit sums "
        "this over all its weights. In each block the heads and channels with the lowest scores are removed; the "
        "first and last blocks stay whole."
    )
    formulas = (r"S_u = \sum_{w \in u} \left| w\, \frac{\partial \mathcal{L}}{\partial w} \right|",)
    Parameters = LLMPrunerParameters

    @property
    def second_order(self) -> bool:
        return self.parameters.taylor in ("second", "mix")


class LLMPruner(_Declared, GradientUnitMethod):
    """LLM-Pruner of heads and FFN channels inside blocks."""

    @classmethod
    def create(cls, parameters: MethodParameters, seed: int | None, amount: Amount | None = None) -> StructuredMethod:
        kinds = {"block": cls, "channel": LLMPrunerChannels, "layer": LLMPrunerLayers}
        method: StructuredMethod = kinds[cls(parameters).parameters.granularity](parameters, seed)
        return method

    def _scores(self, view: StructuredBlockView) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        taylor = self.parameters.taylor
        return unit_scores(
            view,
            lambda weight, moments: element_scores(weight, moments, taylor),
            signed=taylor == "vector",
            fold=self.parameters.fold,
        )

    def head_scores(self, view: StructuredBlockView) -> tuple[Tensor, Tensor]:
        scores = self._scores(view)[0]
        return total(scores, ("q", "o")), total(scores, ("k", "v"))

    def channel_scores(self, view: StructuredBlockView) -> Tensor:
        return total(self._scores(view)[1], ("gate", "up", "down"))


class LLMPrunerChannels(_Declared, Gradients, HiddenSizeMethod):
    """LLM-Pruner of entries of the hidden states."""

    def keep_hidden(self, views: Sequence[StructuredBlockView], ratio: float) -> Tensor:
        """Score each entry of the hidden states by all weights in the blocks that read or write it."""
        found = []  # (hidden,) each
        for view in views:
            for role in view.units.linears:
                elements = element_scores(view.weight(role), view.gradients[role], self.parameters.taylor)
                own = elements.sum(1 if role in ("o", "down") else 0)
                found.append(own.abs() if self.parameters.taylor == "vector" else own)
        score = reduce(add, found)
        return keep_largest(score, min(round(ratio * len(score)), len(score) - 1))


class LLMPrunerLayers(_Declared, BlockRemovalMethod):
    """LLM-Pruner of the last whole blocks; uses no data."""

    def keep_blocks(self, views: Sequence[StructuredBlockView], ratio: float) -> list[int]:
        """Keep the first blocks; the ratio is met to half a block."""
        return list(range(blocks_left(len(views), ratio)))
