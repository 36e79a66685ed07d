"""SlimLLM: scores heads by the attention output's direction, channels by the principal directions of the FFN output.

It follows the paper and the authors' code. All scores follow in closed form from one covariance of the input of o and
one of down. For indicators s and t of kept units, output channel c of o has covariance s' C_c t between them, where
C_c[i, j] = w_ci' Sigma_ij w_cj. No activation is stored.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from core.methods.annotations import ModelShape, Tensor, TextWindows
from core.methods.cost import Sum, solving
from core.methods.linear import Statistics
from core.methods.structured.base import (
    ChannelChoice,
    HeadChoice,
    SequentialUnitMethod,
    StructuredBlockView,
    StructuredParameters,
    keep_largest,
)
from core.methods.structured.budget import LIGHT_UP_TO, Removal, allocate
from core.methods.terms import Citation

# The authors' settings at 20 and 50 %: share of the blocks to prune, those that change their input least, and alpha.
LIGHT, STRONG = (26 / 32, 10.0), (30 / 32, 7.0)
LEAST_SHARE = 0.01  # share of the channels, the lowest-scored, to keep


class SlimLLMParameters(StructuredParameters):
    greedy: bool = Field(
        title="Swap heads greedily",
        default=True,
        description="Swap removed heads for kept ones if that preserves the output's direction better.",
    )
    regression: Literal["none", "bias", "scale"] = Field(
        title="Compensation for removed units",
        default="scale",
        description="Correction of each output channel: none, a bias, or scale and bias.",
    )
    layer_ratio: Literal["uniform", "softmax"] = Field(
        title="Ratios of the blocks",
        default="softmax",
        description="softmax: blocks that change their input least lose more. uniform: all lose the same share.",
    )
    alpha: float | None = Field(
        title="Sharpness over blocks",
        default=None,
        ge=0,
        le=100,
        description="Sharpness of the softmax over blocks. If not given, as in the paper: 10 up to a ratio of "
        "0.35, else 7.",
    )
    spare_least: bool = Field(
        title="Keep the lowest channels",
        default=True,
        description="Keep the 1 % of channels with the lowest scores, as in the paper.",
    )


class SlimLLM(SequentialUnitMethod):
    name = "slimllm"
    label = "SlimLLM"
    version = 2
    citation = Citation(
        title="SlimLLM: Accurate Structured Pruning for Large Language Models",
        authors="Guo et al.",
        year=2025,
        url="https://arxiv.org/abs/2505.22689",
        part="sections 3.1 to 3.4, equations 4, 7 and 9",
    )
    summary = (
        "Keeps the heads and channels that preserve the output's direction, and rescales each output to compensate."
    )
    idea = (
        "SlimLLM keeps the heads and channels that preserve the direction of a block's output on the calibration "
        "data. Linear regression then scales and shifts each output to fit the full one. The blocks that change "
        "their input least lose most."
    )
    formulas = (
        r"\max_K\, \sum_o \left| \operatorname{corr}\left( \sum_{h \in K} O_{ho},\ Y_o \right) \right|",
        r"S_c = \lVert G_c \odot n \rVert_2 + \lVert U_c \odot n \rVert_2 + d_c",
        r"d_c = \lVert x_c \rVert_2\, \lVert v \odot V^\top D_c \rVert_2",
        r"Y_o \approx a_o\, Y'_o + b_o",
    )
    symbols = {
        "K": "kept heads",
        "O_{ho}": "contribution of head h to output o",
        "Y": "full output",
        "Y'": "output of the kept units",
        "c": "a channel of the FFN",
        r"G,\ U,\ D": "its rows of gate and up, its column of down",
        "n": "norms of the FFN's inputs",
        "d_c": "score of the channel from down",
        "x_c": "values of the channel on the calibration data",
        r"V,\ v": "principal directions of the FFN's output, and weights that grow with their variance",
        r"a,\ b": "scale and bias by least squares",
    }
    observes = "similarity"
    Parameters = SlimLLMParameters

    def sums(self, role: str) -> frozenset[Sum]:
        return frozenset({"gram", "mean"} if role in ("o", "down") else {"sqnorm"})

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        return super().cost(shape, text) + solving(shape)

    def allocate(self, views: Sequence[StructuredBlockView], ratio: float) -> list[Removal]:
        shares = self._shares([view.similarity for view in views], ratio)
        return allocate([view.shape for view in views], ratio, shares)

    def _shares(self, similarity: Sequence[float], ratio: float) -> list[float]:
        """Return the share of its weights that each block loses, equation 9: n softmax(alpha c) over n blocks."""
        import torch

        if self.parameters.layer_ratio == "uniform":
            return [ratio] * len(similarity)
        pruned, alpha = LIGHT if ratio <= LIGHT_UP_TO else STRONG
        alpha = alpha if self.parameters.alpha is None else self.parameters.alpha
        cosines = torch.tensor(similarity, dtype=torch.float64)
        chosen = cosines.argsort(descending=True, stable=True)[: round(pruned * len(similarity))]
        shares = torch.zeros_like(cosines)
        shares[chosen] = ratio * len(similarity) * torch.softmax(alpha * cosines[chosen], dim=0)
        return shares.tolist()

    def heads(self, view: StructuredBlockView, steps: int) -> HeadChoice:
        import torch

        from core.methods.structured.correlation import choose_units, contributions
        from core.models.removal.units import spread

        shape, statistics = view.shape, view.inputs["o"]
        weight = view.weight("o").double()  # (hidden, heads * width)
        units = shape.kv_heads if shape.mode == "groups" else shape.query_heads
        parts = contributions(weight, statistics.covariance, units)  # (hidden, units, units)
        blocks = [range(units)] if shape.mode == "groups" else torch.arange(units).view(shape.kv_heads, -1).tolist()
        kept = choose_units(parts, [list(block) for block in blocks], steps, self.parameters.greedy)
        if shape.mode == "groups":
            query_heads = spread(kept, shape.group)
            kv_heads = kept
        else:
            query_heads, kv_heads = kept, torch.arange(shape.kv_heads)
        columns = spread(query_heads, shape.head_dim)
        return HeadChoice(query_heads, kv_heads, *self._recover(weight, statistics, columns))

    def channels(self, view: StructuredBlockView, count: int) -> ChannelChoice:
        score = channel_scores(view)
        spared = round(LEAST_SHARE * len(score)) if self.parameters.spare_least else 0
        kept = keep_largest(score, count, spared)
        weight = view.weight("down").double()
        return ChannelChoice(kept, *self._recover(weight, view.inputs["down"], kept))

    def _recover(self, weight: Tensor, statistics: Statistics, kept: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the scale and the bias, each (out,), that regress the full output on the kept inputs."""
        from core.methods.structured.correlation import regress

        if self.parameters.regression == "none" or len(kept) == weight.shape[1]:
            return None, None
        scaled = self.parameters.regression == "scale"
        scale, bias = regress(weight, statistics.covariance, statistics.mean.double(), kept, scaled)
        return scale if scaled else None, bias.float()


def channel_scores(view: StructuredBlockView) -> Tensor:
    """Return the importance of each FFN channel, (channels,), summed over its rows of gate and up and column of down.

    |W_gate,j n| + |W_up,j n| with n the norms of the FFN's inputs, and |h_j| |w V' d_j|. V are the principal directions
    of the FFN's output, w = sigmoid of each one's variance over the mean variance, and d_j is the column of down.
    """
    import torch

    statistics = view.inputs["down"]
    down = view.weight("down").double()  # (hidden, channels)
    scatter = down @ statistics.covariance @ down.T * statistics.tokens  # (hidden, hidden)
    variances, directions = torch.linalg.eigh(scatter)
    weights = torch.sigmoid(variances.abs() / variances.abs().mean())  # (hidden,)
    score: Tensor = statistics.sqnorm.double().sqrt() * ((directions * weights).T @ down).norm(dim=0)
    norms = view.inputs["up"].sqnorm.double().sqrt()  # (hidden,)
    for role in view.ffn_roles:
        score = score + (view.weight(role).double() * norms).norm(dim=1)
    return score
