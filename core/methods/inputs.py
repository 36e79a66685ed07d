"""The arguments and the result of a method's call for one linear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from core.methods.cost import Sum

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from core.models.parts.grids import Grid

Computed = TypeVar("Computed")
Plan = Mapping[str, int | None]  # of each linear by name: its rank or its bits


@dataclass(frozen=True)
class Target:
    """The amount to remove from a linear: `ratio` of its weights, or all but N of every M consecutive inputs.

    It also carries the weights that earlier stages bound to zero and, for a reconstruction, the reference weight.
    """

    ratio: float
    pattern: tuple[int, int] | None = None
    bits: float = 16  # per weight, or the requested mean over all linears
    zeros: Tensor | None = None  # (out, in) True for a weight that an earlier stage bound to zero; None: none
    reference: Tensor | None = None  # (out, in) fp32, only for a `Reconstruction` of bound weights


@dataclass
class Statistics:
    """Sums over the calibration tokens of one input x; all linears that read x share them.

    They hold the requested sums only. For a method without calibration data, they have no tokens and no sums.
    """

    tokens: int
    sums: Mapping[Sum, Tensor]
    generator: Generator | None = None  # on the CPU, for one linear; None unless the method declares `draws`
    routed: int | None = None  # tokens that an expert's router sent it, if it got those of the whole layer instead
    _memo: dict[str, Any] = field(default_factory=dict)  # Any: each name has a type of its own

    @property
    def sqnorm(self) -> Tensor:
        """Sum of x_j^2, (in,): the diagonal of the Gram matrix."""
        return self.sums["sqnorm"]

    @property
    def gram(self) -> Tensor:
        """Sum of x x^T, (in, in), fp32."""
        return self.sums["gram"]

    @property
    def mean(self) -> Tensor:
        """Mean of x, (in,)."""
        return self.sums["mean"]

    @property
    def absolute(self) -> Tensor:
        """Sum of |x|, (in,)."""
        return self.sums["absolute"]

    @property
    def variance(self) -> Tensor:
        """Variance of each input over the tokens, (in,)."""
        return (self.sqnorm / self.tokens - self.mean.square()).clamp_min(0)

    @property
    def covariance(self) -> Tensor:
        """Covariance of the inputs over the tokens, (in, in), fp64."""
        mean = self.mean.double()
        return self.gram.double() / self.tokens - mean[:, None] * mean

    def once(self, name: str, compute: Callable[[], Computed]) -> Computed:
        """Return `compute()`, evaluated once for all linears that share this input."""
        if name not in self._memo:
            self._memo[name] = compute()
        found: Computed = self._memo[name]
        return found


@dataclass
class Compressed:
    """A linear after a method: the new weight (out, in) and the entries of the layer report."""

    weight: Tensor
    zeros: Tensor | None = None  # (out, in) True for a removed weight, which must stay zero; None: none
    damping: float | None = None
    note: str | None = None
    grid: Grid | None = None  # of all of `weight`
    factors: tuple[Tensor, Tensor] | None = None  # left (out, rank), right (rank, in); their product is `weight`


class Accumulator(Protocol):
    """A consumer of the loss gradients of one linear's weight (out, in), one calibration sequence at a time."""

    def add(self, weight: Tensor, gradient: Tensor) -> None: ...

    def tensors(self) -> dict[str, Tensor]:
        """Return the accumulated tensors by name."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return all that it needs to continue with the next sequence; empty before the first one."""
        ...

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from a `state` that is not empty."""
        ...
