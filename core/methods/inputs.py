"""What the walker hands to a method with a linear, and what the method returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from core.methods.cost import Sum

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from core.models.parts.grids import Grid


@dataclass(frozen=True)
class Target:
    """How much of a linear is gone afterwards: `ratio` of its weights, or all but n of every m consecutive inputs.

    Beside it what earlier stages have left: what they bound to zero and, for a method that comes close to it, the
    weight as it was without that.
    """

    ratio: float
    pattern: tuple[int, int] | None = None
    bits: float = 16  # a weight is rounded to, or the mean of all
    zeros: Tensor | None = None  # (out, in) True where an earlier stage bound a weight to zero; None: it bound none
    reference: Tensor | None = None  # (out, in) fp32, only for a `Reconstruction` and where a weight is bound


@dataclass
class Statistics:
    """Sums over the calibration tokens of one input x, those asked for, shared by all linears that read it.

    Of no tokens, and so without sums, for a method that reads no text.
    """

    tokens: int
    sums: Mapping[Sum, Tensor]
    generator: Generator | None = None  # CPU, of one linear; None of a method that does not declare `draws`
    _memo: dict[str, Any] = field(default_factory=dict)

    @property
    def sqnorm(self) -> Tensor:
        """The sum of x_j^2, (in,): the diagonal of the Gram matrix."""
        return self.sums["sqnorm"]

    @property
    def gram(self) -> Tensor:
        """The sum of x x^T, (in, in), fp32."""
        return self.sums["gram"]

    @property
    def mean(self) -> Tensor:
        """The mean of x, (in,)."""
        return self.sums["mean"]

    @property
    def absolute(self) -> Tensor:
        """The sum of |x|, (in,)."""
        return self.sums["absolute"]

    @property
    def variance(self) -> Tensor:
        """The variance of each input over the tokens, (in,)."""
        return (self.sqnorm / self.tokens - self.mean.square()).clamp_min(0)

    @property
    def covariance(self) -> Tensor:
        """The covariance of the inputs over the tokens, (in, in), fp64."""
        mean = self.mean.double()
        return self.gram.double() / self.tokens - mean[:, None] * mean

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return `compute()`, evaluated once for all linears that share this input."""
        if name not in self._memo:
            self._memo[name] = compute()
        return self._memo[name]


@dataclass
class Compressed:
    """A linear after a method: the new weight (out, in) and what the layer report should say."""

    weight: Tensor
    zeros: Tensor | None = None  # (out, in) True where a weight is removed, None where none is: must stay zero
    damping: float | None = None
    note: str | None = None
    grid: Grid | None = None  # that all of `weight` lies on
    factors: tuple[Tensor, Tensor] | None = None  # left (out, rank), right (rank, in) whose product `weight` is


class Accumulator(Protocol):
    """Takes the gradient of the loss on one calibration window with respect to one linear's weight (out, in)."""

    def add(self, weight: Tensor, gradient: Tensor) -> None: ...

    def tensors(self) -> dict[str, Tensor]:
        """Return what was gathered, by name."""
        ...
