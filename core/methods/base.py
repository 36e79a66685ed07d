"""What a method is: a declaration that form, command line and documentation are generated from, and tensor functions.

A method never loops over layers and never names an architecture: the walker (`core.engine.walker`) hands it one linear
at a time, with the statistics of that linear's input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from core.specs import Frozen, RatioKind

if TYPE_CHECKING:
    from torch import Tensor

Family = Literal["dense", "unstructured", "structured", "low rank", "quantisation", "embedding", "recovery"]
Needs = Literal["nothing", "sqnorm", "absolute", "gram", "gradient", "training"]
Scope = Literal["linear", "block", "training"]


class Citation(Frozen):
    title: str
    authors: str
    year: int
    url: str


class Parameters(Frozen):
    """A method's parameters: each a field with type, range, default and description."""


class WalkerParameters(Parameters):
    """Parameters of every method that reads activations."""

    true_sequential: bool = Field(
        default=True,
        description="Statistics of each linear see the already compressed linears before it in its block; "
        "off is the reference form, one statistics pass on the dense block.",
    )


@dataclass(frozen=True)
class Target:
    """How much of a linear to remove: `ratio` of its weights, or n kept of every m consecutive inputs."""

    ratio: float
    pattern: tuple[int, int] | None = None


@dataclass
class Statistics:
    """Sums over the calibration tokens of one input x, shared by every linear that reads that input."""

    tokens: int
    sqnorm: Tensor  # (in,) sum of x_j^2: the diagonal of the Gram matrix
    gram: Tensor | None = None  # (in, in) sum of x x^T, fp32
    total: Tensor | None = None  # (in,) sum of x
    absolute: Tensor | None = None  # (in,) sum of |x|
    _memo: dict[str, Any] = field(default_factory=dict)

    @property
    def mean(self) -> Tensor:
        """The mean input, (in,)."""
        return self.total / self.tokens

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
    damping: float | None = None
    note: str | None = None
    factors: tuple[Tensor, Tensor] | None = None  # left (out, rank), right (rank, in) whose product `weight` is


class Method:
    """A compression method. Subclasses set the class attributes and override `compress`."""

    name: ClassVar[str]
    label: ClassVar[str]
    family: ClassVar[Family]
    citation: ClassVar[Citation | None] = None
    summary: ClassVar[str]  # one sentence for someone who has read one paper on pruning
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = "nothing"  # of the calibration text
    scope: ClassVar[Scope] = "linear"  # what the method is handed at a time
    ratio_kind: ClassVar[RatioKind] = "sparsity"
    patterns: ClassVar[bool] = False  # whether n:m patterns are possible
    Parameters: ClassVar[type[Parameters]] = Parameters

    def __init__(self, parameters: Parameters | None = None, seed: int | None = None):
        self.parameters = parameters or self.Parameters()
        self.seed = seed or 0

    @property
    def needs_calibration(self) -> bool:
        return self.needs != "nothing"

    @classmethod
    def needs_of(cls, role: str) -> Needs:
        """Return which statistics of the input of a linear with this role the method reads."""
        return cls.needs

    @property
    def observations(self) -> tuple[str, ...]:
        """A name for what is observed of the dense model before anything is planned; none where nothing is.

        It is the same where that is the same, whatever the ratio. Names of what holds it, too, follow.
        """
        return ()

    def observe(self, weight: Tensor, statistics: Statistics | None) -> Tensor:
        """Return what `plan` wants to know of one dense linear (out, in); only where `observations` names it."""
        raise NotImplementedError

    def plan(self, weights: Mapping[str, Tensor], target: Target, observed: Mapping[str, Tensor]) -> dict[str, Any]:
        """Look at all dense linears, {name: weight (out, in)}, and at what was observed of them.

        Return by name what `compress` needs to know.
        """
        return {}

    def compress(self, weight: Tensor, statistics: Statistics | None, target: Target, plan: Any = None) -> Compressed:
        """Compress one linear. `weight` is (out, in) fp32 and may be overwritten; `plan` is this linear's entry."""
        raise NotImplementedError
