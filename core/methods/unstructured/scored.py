"""Base of methods that score each weight, with masks and N:M patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from core.base.errors import UserError
from core.methods.cost import Sum
from core.methods.inputs import Compressed, Statistics, Target
from core.methods.parameters import WalkerParameters
from core.methods.unstructured.allocation import NORMS, Allocated, AllocatedParameters

if TYPE_CHECKING:
    from torch import Generator, Tensor


class ScoreMethod(Allocated):
    """A method that zeroes the weights with the smallest `score` and changes no other weight."""

    family = "unstructured"
    supports_nm = True
    # Weights that compete without an N:M pattern: those of an output row, or of the whole linear.
    comparison_group: ClassVar[Literal["row", "linear"]] = "linear"

    def score(self, weight: Tensor, statistics: Statistics) -> Tensor:
        """Return the importance of each weight (out, in); must not change the weight.

        A random score draws from `statistics.generator`, and its class sets `draws`.
        """
        raise NotImplementedError

    def ratio_tolerance(self, blocks: int, inputs: int) -> float:
        return 0.5 / inputs

    def ranking(self, weight: Tensor, observed: Tensor | None, generator: Generator | None) -> Tensor:
        known: dict[Sum, Tensor] = {} if observed is None else {"sqnorm": observed.to(weight.device)}
        return self.score(weight, Statistics(1, known, generator))

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: int | None = None) -> Compressed:
        from core.methods.numerics.masks import pattern_mask, row_mask, smallest_mask, zeros_lowest

        score = self.score(weight, statistics)  # (out, in)
        if score.isnan().any():  # which no comparison ranks, so that other numbers of weights would be removed
            raise UserError(
                f"{self.name} scores some weights as NaN and cannot rank them; correct the method, or use float32 in "
                "place of float16."
            )
        score = zeros_lowest(score, target.zeros)
        if target.pattern:
            pruned = pattern_mask(score, *target.pattern)
            pruned = pruned if target.zeros is None else pruned | target.zeros
        elif self.comparison_group == "row" and target.zeros is not None:
            pruned = row_mask(score, target.zeros, round(target.ratio * weight.numel()))
        elif self.comparison_group == "row":
            pruned = smallest_mask(score, round(target.ratio * weight.shape[1]))
        else:
            pruned = smallest_mask(score.flatten(), round(target.ratio * weight.numel())).view_as(weight)
        return Compressed(weight.masked_fill_(pruned, 0), zeros=pruned)


class ScoredByInputsParameters(WalkerParameters, AllocatedParameters):
    pass


class ScoredByInputs(ScoreMethod):
    """A score from a weight and the norm of its input."""

    data_requirement = "calibration"
    Parameters = ScoredByInputsParameters

    @property
    def ranked_by(self) -> tuple[str, ...]:
        return (NORMS,)

    def required_statistics(self, role: str) -> frozenset[Sum]:
        return frozenset({"sqnorm"})
