"""FLAP: removes the units whose output fluctuates least, in any block, and replaces their mean by a bias.

Statistics are those of the dense model. x is the input of o or down. Column j of that matrix W scores var(x_j) |W_j|^2,
squared for attention and standardised inside each block and kind. The mean output of the removed columns, sum_j W_j
mean(x_j), becomes the bias.
"""

from collections.abc import Sequence

from core.methods.annotations import Tensor
from core.methods.structured.base import (
    ChannelChoice,
    HeadChoice,
    StructuredBlockView,
    UnitMethod,
    keep_heads,
    keep_largest,
    step_scores,
)
from core.methods.structured.budget import Removal, allocate_globally
from core.methods.terms import Citation


class FLAP(UnitMethod):
    name = "flap"
    label = "FLAP"
    citation = Citation(
        title="Fluctuation-based Adaptive Structured Pruning for Large Language Models",
        authors="An et al.",
        year=2023,
        url="https://arxiv.org/abs/2312.11983",
        part="equations 4 to 7",
    )
    summary = "Removes the heads and channels of the whole model that fluctuate least, and adds their mean as a bias."
    idea = (
        "A head or channel whose values hardly change from token to token can be replaced by its mean, which "
        "becomes a bias. FLAP scores it by its fluctuation times its squared weights, standardised so that blocks "
        "are comparable. The lowest scores of the whole model are removed."
    )
    formulas = (
        r"S_j = \operatorname{Var}(X_j)\, \lVert W_j \rVert_2^2",
        r"b = \sum_{j\ \text{removed}} \bar{X}_j\, W_j",
    )
    symbols = {
        "S": (
            "score of an input, squared for attention and standardised inside each block; a head's is the mean "
            "over its inputs"
        ),
        "W_j": "column of the matrix that reads the input: o for heads, down for channels",
        "b": "bias added to the output of that matrix",
    }
    data_requirement = "calibration"
    observes = "statistics"
    input_sums = frozenset({"sqnorm", "mean"})

    def allocate(self, views: Sequence[StructuredBlockView], ratio: float) -> list[Removal]:
        shapes = [view.shape for view in views]
        steps = [step_scores(_head_scores(view), view.shape) for view in views]
        channels = [_standardised(_metric(view, "down")).sort().values.tolist() for view in views]
        return allocate_globally(shapes, ratio, steps, channels)

    def heads(self, view: StructuredBlockView, steps: int) -> HeadChoice:
        from core.models.removal.units import spread

        shape = view.shape
        scores = _head_scores(view)
        choice = keep_heads(scores, scores.new_zeros(shape.kv_heads), steps, shape)
        kept = spread(choice.query_heads, shape.head_dim)
        return HeadChoice(choice.query_heads, choice.kv_heads, bias=_mean_output(view, "o", kept))

    def channels(self, view: StructuredBlockView, count: int) -> ChannelChoice:
        kept = keep_largest(_metric(view, "down"), count)
        return ChannelChoice(kept, bias=_mean_output(view, "down", kept))


def _metric(view: StructuredBlockView, role: str) -> Tensor:
    """Return the fluctuation score of each input of o or down, (in,)."""
    statistics = view.inputs[role]
    score = statistics.variance * view.weight(role).square().sum(0)
    return score.square() if role == "o" else score


def _standardised(score: Tensor) -> Tensor:
    return (score - score.mean()) / score.std().clamp_min(1e-30)


def _head_scores(view: StructuredBlockView) -> Tensor:
    """Return the mean standardised score of each query head's columns, (query heads,)."""
    return _standardised(_metric(view, "o")).view(view.shape.query_heads, -1).mean(1)


def _mean_output(view: StructuredBlockView, role: str, kept: Tensor) -> Tensor:
    """Return the mean output of the removed inputs, (out,)."""
    mean = view.inputs[role].mean.clone()  # (in,)
    mean[kept.to(mean.device)] = 0
    return view.weight(role) @ mean
