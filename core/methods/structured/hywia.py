"""HyWIA-style scores: fine-grained (weights) and coarse-grained (whole units) importance, mixed by attention.

The paper of the citation has the idea of mixing a weight-level and a unit-level Taylor importance adaptively, without
training. Its equations were not available: the mixture below is this project's own, so its numbers must not be read as
the paper's.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Literal

from pydantic import Field

from core.methods.annotations import Tensor
from core.methods.structured.base import StructuredBlockView, step_scores, unit_sums
from core.methods.structured.budget import Removal, allocate_globally
from core.methods.structured.gradients import GradientParameters, GradientUnitMethod, Taylor, element_scores
from core.methods.terms import Citation

MEMBERS = {"heads": ("q", "k", "v", "o"), "channels": ("gate", "up", "down")}


class HyWIAParameters(GradientParameters):
    mixing: Literal["attention", "fixed"] = Field(
        title="Mixing of importances",
        default="attention",
        description="attention: the weight of the fine importance differs by unit. fixed: it is the same for all.",
    )
    ranking: Literal["block", "global"] = Field(
        title="How units are ranked",
        default="block",
        description="block: every pruned block loses the same share. global: the least important units of all "
        "blocks are removed.",
    )
    fine_share: float = Field(
        title="Weight of the fine importance",
        default=0.5,
        ge=0,
        le=1,
        description="Weight of the fine importance if mixing is fixed.",
    )


class HyWIA(GradientUnitMethod):
    name = "hywia"
    label = "HyWIA-style"
    version = 2
    citation = Citation(
        title="Adaptive Estimation Fusion (the idea; the mixture is this project's own)",
        authors="Liu et al.",
        year=2024,
        url="https://arxiv.org/abs/2403.10799",
    )
    summary = (
        "Mixes weight-level and unit-level importance of heads and channels; in the style of HyWIA, not a replica."
    )
    idea = (
        "A unit may matter as a whole or through a few of its weights, so it gets two scores. The fine score sums "
        "over single weights; the coarse one treats the unit as one. A training-free attention mixes them for "
        "each unit, by this project's own formula and not the paper's."
    )
    formulas = (
        r"f_u = \sum_{w \in u} \left| w g - \tfrac{1}{2} w^2 F \right|",
        r"c_u = \left| \sum_{w \in u} w g \right| + \tfrac{1}{2} \sum_{w \in u} w^2 F",
        r"S_u = a_u\, \tilde{f}_u + (1 - a_u)\, \tilde{c}_u",
    )
    symbols = {
        r"f,\ c": "fine and coarse score of a unit; with a tilde, standardised inside the block",
        "g": "gradient of the loss with respect to the weight",
        "F": "mean of the squared gradient over calibration sequences",
        "a_u": "share of the fine score: an attention compares both scores in the block and among all blocks",
    }
    Parameters = HyWIAParameters

    def allocate(self, views: Sequence[StructuredBlockView], ratio: float) -> list[Removal]:
        self._mix(views)
        removals = super().allocate(views, ratio)
        if self.parameters.ranking == "block":
            return removals
        return allocate_globally(
            [view.shape for view in views],
            ratio,
            [step_scores(view.scores["heads"], view.shape) for view in views],
            [view.scores["channels"].sort().values.tolist() for view in views],
            may_shrink=[removal != Removal() for removal in removals],
        )

    def _mix(self, views: Sequence[StructuredBlockView]) -> None:
        """Compute each block's unit scores; a block's context is its mean importance among all blocks."""
        import torch

        for kind in MEMBERS:
            found = [torch.stack(_importances(view, kind)) for view in views]  # each (2, units): fine, coarse
            whole = _Scale(torch.cat(found, dim=1))
            for view, signals in zip(views, found, strict=True):
                local = _Scale(signals).standardise(signals)  # (2, units)
                share: Tensor | float = self.parameters.fine_share
                if self.parameters.mixing == "attention":
                    context = whole.standardise(signals).mean(1, keepdim=True)  # (2, 1)
                    share = torch.softmax(local * context / 2**0.5, dim=0)[0]  # (units,)
                view.scores[kind] = share * local[0] + (1 - share) * local[1]

    def head_scores(self, view: StructuredBlockView) -> tuple[Tensor, Tensor]:
        score = view.scores["heads"]  # (query heads,)
        return score, score.new_zeros(view.shape.kv_heads)

    def channel_scores(self, view: StructuredBlockView) -> Tensor:
        return view.scores["channels"]


def _importances(view: StructuredBlockView, kind: str) -> tuple[Tensor, Tensor]:
    """Return (fine, coarse) importances of heads or channels, each (units,).

    Fine: the sum over a unit's weights of |w g - w^2 F / 2|. Coarse: |sum of w g| + |sum of w^2 F| / 2. A key-value
    head counts for each query head that reads it.
    """

    def of(taylor: Taylor) -> Tensor:
        """Sum an element score over all matrices to (units,)."""
        sums = [
            unit_sums(element_scores(view.weight(role), view.gradients[role], taylor), role, view.shape)
            for role in MEMBERS[kind]
            if role in view.gradients
        ]
        if kind == "heads":
            sums = [own.repeat_interleave(view.shape.query_heads // len(own)) for own in sums]
        return reduce(add, sums)

    return of("mix"), of("vector").abs() + of("second") / 2


class _Scale:
    """Mean and spread of signals (2, units), each on its own."""

    def __init__(self, signals: Tensor):
        self.mean = signals.mean(1, keepdim=True)
        self.spread = signals.std(1, keepdim=True, correction=0).clamp_min(1e-30)

    def standardise(self, signals: Tensor) -> Tensor:
        return (signals - self.mean) / self.spread
