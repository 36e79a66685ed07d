"""Bases of methods that zero weights: by a score, with masks and N:M patterns, or by the inverse Hessian.

References: Hassibi & Stork, Second order derivatives for network pruning: Optimal Brain Surgeon, 1993: removing w_j and
compensating for it adds w_j^2 / (H^-1)_jj to the error, up to a factor.
"""

from typing import ClassVar, Literal

from pydantic import Field

from core.base.errors import UserError
from core.methods.annotations import Generator, Tensor
from core.methods.cost import Sum
from core.methods.linear import Compressed, Factor, Statistics, Target
from core.methods.parameters import WalkerParameters
from core.methods.unstructured.allocation import NORMS, Allocated, AllocatedParameters


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
    input_sums = frozenset({"sqnorm"})

    @property
    def ranked_by(self) -> tuple[str, ...]:
        return (NORMS,)


class ByHessianParameters(WalkerParameters, AllocatedParameters):
    damping: float = Field(
        title="Damping of the Hessian",
        default=0.01,
        gt=0,
        le=10,
        description="Share of the Hessian's mean diagonal that is added to its diagonal.",
    )


class ByHessian(Allocated):
    """A method that prunes by the inverse Hessian; it ranks weights by the error that each alone adds."""

    family = "unstructured"
    data_requirement = "calibration"
    supports_nm = True
    Parameters = ByHessianParameters
    input_sums = frozenset({"gram"})

    def factor(self, statistics: Statistics) -> Factor:
        """Return the factor of the damped Hessian, computed once for all linears that read one input."""
        from core.methods.numerics.hessian import factorise

        return statistics.once("factor", lambda: factorise(statistics.gram, self.parameters.damping))

    @property
    def ranked_by(self) -> tuple[str, ...]:
        return (f"diagonals of the inverse Hessian, damping {self.parameters.damping:g}",)

    def observe(self, weight: Tensor, statistics: Statistics) -> Tensor:
        if self.parameters.allocation == "owl":
            return super().observe(weight, statistics)
        factor = self.factor(statistics)
        diagonal = factor.upper.square().sum(0)  # (in,) of H^-1 = U^T U
        return diagonal.masked_fill_(factor.dead, float("inf"))  # weights of dead inputs cost nothing

    def ranking(self, weight: Tensor, observed: Tensor | None, generator: Generator | None) -> Tensor:
        assert observed is not None
        return weight.square() / observed.to(weight.device)  # (out, in)
