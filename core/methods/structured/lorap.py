"""LoRAP: factors attention matrices to an activation-weighted low rank, and removes FFN channels without gradients.

By default v and o keep three times the weights of q and k. Channels are removed by the norms of their
activation-weighted rows and columns, except the lowest 1 %.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from core.methods.annotations import Tensor
from core.methods.parameters import WalkerParameters
from core.methods.structured.base import (
    ChannelChoice,
    FactoredUnitMethod,
    StructuredBlockView,
    StructuredParameters,
    keep_largest,
)
from core.methods.structured.budget import Removal, with_steps
from core.methods.terms import Citation

LEAST_SHARE = 0.01  # share of the channels, the lowest-scored, to keep


class LoRAPParameters(WalkerParameters, StructuredParameters):
    true_sequential: bool = Field(
        title="Sequential calibration within a block",
        default=False,
        description="Collect the FFN's statistics after compressing the attention of its block; off in the paper.",
    )
    weighting: Literal["activations", "none"] = Field(
        title="Weighting of the inputs",
        default="activations",
        description="activations: the decomposition weights inputs by their norms. none: plain SVD.",
    )
    value_share: float = Field(
        title="Share for v and o",
        default=0.75,
        gt=0,
        lt=1,
        description="Share of attention's kept weights for v and o; q and k get the rest.",
    )
    spare_least: bool = Field(
        title="Keep the lowest channels",
        default=True,
        description="Keep the 1 % of channels with the lowest scores, as in the paper.",
    )


class LoRAP(FactoredUnitMethod):
    name = "lorap"
    label = "LoRAP"
    citation = Citation(
        title="LoRAP: Transformer Sub-Layers Deserve Differentiated Structured Compression",
        authors="Li et al.",
        year=2024,
        url="https://arxiv.org/abs/2404.09695",
        part="sections 3.2 and 3.3, equations 6 and 9",
    )
    summary = (
        "Factors attention matrices to a lower rank and removes FFN channels, both weighted by their inputs' norms."
    )
    idea = (
        "Attention matrices are closer to low rank than FFN matrices, so LoRAP compresses the two differently. "
        "Attention matrices become products of two thin ones, most accurate where inputs are large. The FFN loses "
        "the channels whose weights times inputs have the smallest norms."
    )
    formulas = (
        r"W' = [\,W D\,]_k\, D^{-1}",
        r"D = \operatorname{diag}\left( \lVert X_j \rVert_2 \right)",
        r"S_c = \sum_{F} \lVert (F D)_c \rVert_2",
    )
    symbols = {
        r"[\,\cdot\,]_k": "closest matrix of rank k",
        "D": "norms of the matrix's own inputs, on a diagonal",
        "F": "the matrices of the FFN",
        "c": "a channel: a row of up and gate, a column of down",
    }
    Parameters = LoRAPParameters
    input_sums = frozenset({"sqnorm"})

    def allocate(self, views: Sequence[StructuredBlockView], ratio: float) -> list[Removal]:
        """Give each block its ranks first; channels then make up the rest of the ratio."""
        shapes = [view.shape for view in views]
        ranks, lost = [], 0
        for view in views:
            sizes = {role: view.units.linears[role].shape for role in ("q", "k", "v", "o")}
            ranks.append(split_ranks(sizes, 1 - ratio, self.parameters.value_share))
            lost += sum(m * n - ranks[-1][role] * (m + n) for role, (m, n) in sizes.items() if role in ranks[-1])
        total = sum(shape.weights for shape in shapes)
        rest = ratio - lost / total
        removals = with_steps(shapes, rest, [rest] * len(shapes), [0] * len(shapes))
        return [replace(removal, ranks=own) for removal, own in zip(removals, ranks, strict=True)]

    def factor(self, view: StructuredBlockView, role: str, rank: int) -> tuple[Tensor, Tensor]:
        from core.methods.numerics.hessian import nonzero, truncate

        weighed = self.parameters.weighting == "activations"  # equation 6
        return truncate(view.weight(role), nonzero(view.inputs[role].sqnorm.sqrt()) if weighed else None, rank)

    def channels(self, view: StructuredBlockView, count: int) -> ChannelChoice:
        score = channel_scores(view)
        spared = int(LEAST_SHARE * len(score)) if self.parameters.spare_least else 0
        return ChannelChoice(keep_largest(score, count, spared))


def split_ranks(sizes: Mapping[str, tuple[int, int]], kept: float, value_share: float) -> dict[str, int]:
    """Return the rank of each matrix {role: (m, n)} that keeps the share `kept` of their weights; no rank means whole.

    v and o share `value_share` of the kept weights, q and k the rest, each pair in proportion to its sizes. A matrix
    whose budget reaches its size stays whole and passes on the rest of its budget.
    """
    budget = kept * sum(m * n for m, n in sizes.values())
    shares = {"v": value_share, "o": value_share, "q": 1 - value_share, "k": 1 - value_share}
    weight = {}
    for pair in (("v", "o"), ("q", "k")):
        area = sum(sizes[role][0] * sizes[role][1] for role in pair)
        for role in pair:
            weight[role] = shares[role] * sizes[role][0] * sizes[role][1] / area
    ranks: dict[str, int] = {}
    left = list(sizes)
    while left:
        total = sum(weight[role] for role in left)
        budgets = {role: budget * weight[role] / total for role in left}
        whole = [role for role in left if budgets[role] >= sizes[role][0] * sizes[role][1]]
        budget -= sum(sizes[role][0] * sizes[role][1] for role in whole)
        if not whole:
            ranks = {role: max(1, int(budgets[role] / sum(sizes[role]))) for role in left}
        left = [role for role in left if role not in whole and role not in ranks]
    return ranks


def channel_scores(view: StructuredBlockView) -> Tensor:
    """Return the importance of each FFN channel, (channels,), equation 9: norms of |W| times its input norms."""
    inputs = view.inputs["up"].sqnorm.sqrt()
    score: Tensor = view.weight("down").norm(dim=0) * view.inputs["down"].sqnorm.sqrt()
    for role in view.ffn_roles:
        score = score + (view.weight(role) * inputs).norm(dim=1)
    return score
