"""Base of methods that prune by the inverse Hessian of a linear's output error, after Optimal Brain Surgeon.

References: Hassibi & Stork, Second order derivatives for network pruning: Optimal Brain Surgeon, 1993: removing w_j and
compensating for it adds w_j^2 / (H^-1)_jj to the error, up to a factor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from core.methods.cost import Sum
from core.methods.inputs import Statistics
from core.methods.parameters import WalkerParameters
from core.methods.unstructured.allocation import Allocated, AllocatedParameters

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from core.methods.numerics.hessian import Factor


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

    def required_statistics(self, role: str) -> frozenset[Sum]:
        return frozenset({"gram"})

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
