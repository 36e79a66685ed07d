"""Methods that compress one linear after another, and the arguments and the result of a call for one linear."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar

from core.methods.annotations import Generator, Grid, Linear, ModelShape, Tensor, TextWindows
from core.methods.base import Method
from core.methods.cost import COPIES, SELECTION, Sum, gram_bytes, solving, walking
from core.methods.terms import STORED, Kind

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


@dataclass(frozen=True)
class Factor:
    """A factor U of the inverse of a damped Gram matrix, U^T U."""

    upper: Tensor  # (in, in) U, fp32
    dead: Tensor  # (in,) True for an input that is always zero
    damping: float  # used damping, as a share of the mean diagonal
    note: str | None


class Accumulator(Protocol):
    """A consumer of the loss gradients of one linear's weight (out, in), one calibration sequence at a time."""

    def add(self, weight: Tensor, gradient: Tensor) -> None: ...

    def tensors(self) -> dict[str, Tensor]:
        """Return the accumulated tensors by name."""

    def state(self) -> dict[str, Tensor]:
        """Return all that it needs to continue with the next sequence; empty before the first one."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from a `state` that is not empty."""


class LinearMethod(Method):
    """A method that compresses one linear after another, each on its own. Subclasses override `compress`."""

    kind: ClassVar[Kind] = "linears"
    selects_layers = True
    leaves = frozenset({"zeros"})
    accepts = STORED - {"pattern", "grid"}  # a ratio removes unevenly from the groups of N:M
    observes_gradients: ClassVar[bool] = False  # instead of sums over inputs
    input_sums: ClassVar[frozenset[Sum]] = frozenset()  # that `compress` and `observe` need
    solves: ClassVar[int] = 0  # of a linear with its Gram matrix, such as a sweep, for the cost

    def required_statistics(self, role: str) -> frozenset[Sum]:
        """Return the input sums that `compress` and `observe` need for a linear with this role."""
        return self.input_sums

    @property
    def needs_sensitivity(self) -> bool:
        """Whether it needs the rise in loss with each block compressed alone (`core.engine.scan`)."""
        return False

    @property
    def uniform(self) -> "LinearMethod":
        """The same method with equal ratios for all parts; a scan compresses with it."""
        return self

    def observed_sums(self, role: str) -> frozenset[Sum]:
        """Return the input sums that `observe` needs for a linear with this role."""
        return self.required_statistics(role)

    def observe(self, weight: Tensor, statistics: Statistics) -> Tensor:
        """Return the observation of one dense linear (out, in); called only if `observations` names one."""
        raise NotImplementedError

    def accumulator(self) -> Accumulator:
        """Return the accumulator of a dense linear's gradients, for one tensor; only with `observes_gradients`."""
        raise NotImplementedError

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> Plan:
        """Plan all linears before the first is compressed; return the `plan` of each by name.

        `observed` holds the observation of each dense linear by name.
        """
        return {}

    def layer_ratios(
        self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]
    ) -> dict[str, float]:
        """Return the ratio of each linear by name, so that together they meet the target; empty if all are equal.

        `observed` is as for `plan`. With `needs_sensitivity` it is the rise in loss for the linear's block, ().
        """
        return {}

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: int | None = None) -> Compressed:
        """Compress one linear.

        Args:
            weight: (out, in) fp32; may be overwritten.
            statistics: Sums over the linear's input.
            target: Amount to remove.
            plan: The linear's entry of `plan`.
        """
        raise NotImplementedError

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Count forward passes over the calibration data, Gram matrices with their factors, and ranking weights."""
        passes = (1 if self.true_sequential else 2) + bool(self.observations and not self.observes_gradients)
        walk = walking(shape, text, passes, self.required_statistics)
        return SELECTION * shape.block_weights + walk + self.solves * solving(shape)

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        copies = 4 * COPIES * shape.hidden * max(shape.hidden, shape.ffn)
        return super().memory(shape, text, item, streams) + copies + gram_bytes(shape, self.required_statistics)
