"""LLM-Pruner: coupled heads and channels go by first- and second-order Taylor scores of the loss.

References: Ma et al., LLM-Pruner: On the Structural Pruning of Large Language Models, 2023 (arXiv:2305.11627),
section 3. Heads and channels are scored inside each block; the first and last blocks are left whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from core.methods.parameters import MethodParameters
from core.methods.structured.base import (
    BlockRemovalMethod,
    ChannelChoice,
    HeadChoice,
    HiddenSizeMethod,
    StructuredBlockView,
    StructuredMethod,
    keep_heads,
    keep_largest,
)
from core.methods.structured.budget import blocks_left
from core.methods.structured.gradients import GradientParameters, Gradients, GradientUnitMethod
from core.methods.terms import Citation

if TYPE_CHECKING:
    from torch import Tensor


class LLMPrunerParameters(GradientParameters):
    granularity: Literal["block", "channel", "layer"] = Field(
        title="What goes",
        default="block",
        description="What goes: heads and FFN channels inside blocks, entries of the hidden states in every matrix, or "
        "the last whole blocks.",
    )
    taylor: Literal["vector", "first", "second", "mix"] = Field(
        title="Taylor score",
        default="first",
        description="Score of a unit from weight times gradient: absolute of the sum (vector), sum of the absolutes "
        "(first), of the curvature (second), or of both (mix).",
    )
    fold: Literal["contiguous", "llmpruner"] = Field(
        title="Query heads that count",
        default="contiguous",
        description="Which query heads count with a shared key-value head: those that read it, or the strided ones "
        "that the authors' code takes.",
    )


class _Declared(StructuredMethod):
    """What is one method to people, whatever goes."""

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
    summary = "Removes the coupled heads and channels whose weights times their gradients say the loss needs least."
    idea = (
        "Weight times gradient tells how much the loss would change without the weight, so a unit's score sums that "
        "over all weights that belong to it. Inside a block the heads and channels with the lowest scores go, and the "
        "first and last blocks stay whole."
    )
    formulas = (r"S_u = \sum_{w \in u} \left| w\, \frac{\partial \mathcal{L}}{\partial w} \right|",)
    colour = 5
    dash = "dash"
    parameters: LLMPrunerParameters
    Parameters = LLMPrunerParameters

    @property
    def second_order(self) -> bool:
        return self.parameters.taylor in ("second", "mix")


class LLMPruner(_Declared, GradientUnitMethod):
    """Heads and FFN channels inside blocks go."""

    parameters: LLMPrunerParameters

    @classmethod
    def create(cls, parameters: MethodParameters, seed: int | None, pattern: str | None = None) -> StructuredMethod:
        kinds = {"block": cls, "channel": LLMPrunerChannels, "layer": LLMPrunerLayers}
        return kinds[cls(parameters).parameters.granularity](parameters, seed)

    def _scores(self, view: StructuredBlockView):
        from core.methods.structured.taylor import element_scores, unit_scores

        taylor = self.parameters.taylor
        return unit_scores(
            view,
            lambda weight, moments: element_scores(weight, moments, taylor),
            signed=taylor == "vector",
            fold=self.parameters.fold,
        )

    def heads(self, view: StructuredBlockView, steps: int) -> HeadChoice:
        from core.methods.structured.taylor import total

        scores = self._scores(view)[0]
        return keep_heads(total(scores, ("q", "o")), total(scores, ("k", "v")), steps, view.shape)

    def channels(self, view: StructuredBlockView, count: int) -> ChannelChoice:
        from core.methods.structured.taylor import total

        return ChannelChoice(keep_largest(total(self._scores(view)[1], ("gate", "up", "down")), count))


class LLMPrunerChannels(_Declared, Gradients, HiddenSizeMethod):
    """Entries of the hidden states go."""

    def keep_hidden(self, views: Sequence[StructuredBlockView], ratio: float) -> Tensor:
        """Score an entry of the hidden states by all that reads or writes it in the blocks."""
        from core.methods.structured.taylor import element_scores

        found = []  # (hidden,) each
        for view in views:
            for role in view.units.linears:
                elements = element_scores(view.weight(role), view.gradients[role], self.parameters.taylor)
                own = elements.sum(1 if role in ("o", "down") else 0)
                found.append(own.abs() if self.parameters.taylor == "vector" else own)
        score = reduce(add, found)
        return keep_largest(score, min(round(ratio * len(score)), len(score) - 1))


class LLMPrunerLayers(_Declared, BlockRemovalMethod):
    """The last whole blocks go; nothing is read."""

    def keep_blocks(self, views: Sequence[StructuredBlockView], ratio: float) -> list[int]:
        """Keep the first blocks; `ratio` is met to half a block."""
        return list(range(blocks_left(len(views), ratio)))
