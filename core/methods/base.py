"""What a method is: a declaration that form, command line and documentation are generated from, and tensor functions.

A method never loops over layers and never names an architecture: the walker (`core.engine.walker`) hands it one linear
at a time, with the statistics of that linear's input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, get_args

from pydantic import Field, ValidationError

from core.errors import UserError, echo
from core.methods.cost import SELECTION, Sum, gram_bytes, walking
from core.specs import Calibration, Frozen, RatioKind, sha256

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from core.models.parts.blocks import Linear
    from core.models.parts.grids import Grid
    from core.models.shape import ModelFacts

Family = Literal[
    "dense",
    "unstructured",
    "structured",
    "low rank",
    "convolution",
    "quantisation",
    "embedding",
    "reconstruction",
    "recovery",
]
Reads = Literal["nothing", "calibration", "training"]
# What of earlier stages' zeros outlives a stage: none, those of the weights that stay, or their N:M pattern, too.
Keeps = Literal["nothing", "zeros", "all"]
# Weights of a model: linears in blocks; the embedding and the head; convolutions, which no language model has.
Place = Literal["linears", "tables", "convolutions"]
SUMS: tuple[Sum, ...] = get_args(Sum)

NEUTRAL = -1  # the colour of a page's text, in place of one of the palette


class Citation(Frozen):
    title: str
    authors: str
    year: int
    url: str
    part: str = ""  # what of the paper the method follows, such as `equation 1`


class MethodParameters(Frozen):
    """A method's parameters: each a field with type, range, default and description."""


class WalkerParameters(MethodParameters):
    """Parameters of every method that reads activations."""

    true_sequential: bool = Field(
        title="Read what is compressed before",
        default=True,
        description="Statistics of each linear see the already compressed linears before it in its block; "
        "off is the reference form, one statistics pass on the dense block.",
    )


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


class Method:
    """What a stage of a variant is made by. What kind it is, and so how it is carried out, is said by the subclass.

    `reads` may be a property: parameters can change what is read.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    family: ClassVar[Family]  # under which people find it
    citation: ClassVar[Citation | None] = None
    summary: ClassVar[str]  # one sentence for someone who has read one paper on pruning
    idea: ClassVar[str]  # two sentences for the same reader: why it works, and what it does
    formulas: ClassVar[tuple[str, ...]]  # in LaTeX: what decides, and what becomes of the weights
    symbols: ClassVar[Mapping[str, str]] = {}  # what signs in them mean that `core.methods.formulas` does not say
    version: ClassVar[int] = 1
    reads: Reads = "nothing"
    draws: ClassVar[bool] = False  # whether it draws random numbers, which it may do only from `generator`
    takes_amount: ClassVar[bool] = True  # whether it removes weights, so that a ratio or a pattern is asked for
    by_layer: ClassVar[bool] = False  # whether some of the linears can be selected
    patterns: ClassVar[bool] = False  # whether n:m patterns are possible
    bits: ClassVar[tuple[int, ...]] = ()  # a weight, that can be asked for instead of a ratio
    factors: ClassVar[tuple[float, ...]] = ()  # how many times smaller is offered, where that is asked for
    mixes_bits: ClassVar[bool] = False  # whether linears may get different ones, so that only their mean is asked for
    ratio_kind: ClassVar[RatioKind] = "sparsity"
    keeps: ClassVar[Keeps] = "all"
    touches: ClassVar[frozenset[Place]] = frozenset({"linears"})  # what may have other weights afterwards
    highest_offered: ClassVar[float] = 1.0  # ratio up to which charts offer to fill in points
    # How charts draw it: a place in the palette, a marker and a line. Together they are no other method's.
    colour: ClassVar[int]
    mark: ClassVar[str]
    dash: ClassVar[str] = "solid"
    parameters: MethodParameters  # a subclass with a class of its own says so here, too
    Parameters: ClassVar[type[MethodParameters]] = MethodParameters

    def __init__(self, parameters: MethodParameters | None = None, seed: int | None = None):
        self.parameters = parameters or self.Parameters()
        self.seed = seed or 0

    @classmethod
    def of(cls, parameters: MethodParameters, seed: int | None, pattern: str | None = None) -> Method:
        """Return the method with its parameters; of another class where these, or what the `pattern` of its amount
        says, decide how it is carried out."""
        return cls(parameters, seed)

    @classmethod
    def parsed(cls, settings: Mapping[str, Any]) -> MethodParameters:
        """Return validated parameters; values may be text. A `UserError` names the first that does not fit."""
        fields = cls.Parameters.model_fields
        for name in settings:
            if name not in fields:
                known = f"its parameters are {', '.join(fields)}" if fields else "it has no parameters"
                raise UserError(f"{cls.label} has no parameter {echo(name)}; {known}.")
        try:
            return cls.Parameters.model_validate(dict(settings))
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            raise UserError(
                f"{cls.label}: {name} = {echo(settings[name])} does not fit: {first['msg'].lower()}."
            ) from None

    @property
    def result_version(self) -> int:
        """Version of the numbers that the method gives with its parameters."""
        return self.version

    @classmethod
    def settings_at(cls, version: int, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters that mean today what those of a stage of a version mean."""
        return dict(parameters)

    def stored_parameters(self) -> dict[str, Any]:
        """Return the parameters of the method's stage: those that neither are at their default nor follow from its
        version.
        """
        return self.parameters.model_dump(exclude_defaults=True)

    @property
    def seeded(self) -> bool:
        """Whether the seed decides the result, so that it is part of the key."""
        return self.draws or self.reads != "nothing"

    def generator(self, name: str | None = None) -> Generator:
        """Create a random generator from the seed.

        Args:
            name: Name of a linear, so that each linear draws its own numbers, whichever was compressed before.

        Returns:
            A new generator on the CPU, the same for the same seed and name.

        Raises:
            TypeError: The method does not declare `draws`.
        """
        import torch

        if not self.draws:
            raise TypeError(f"{type(self).__name__} does not declare that it draws; set draws = True on the class.")
        seed = self.seed if name is None else int(sha256(str(self.seed), name)[:15], 16)
        return torch.Generator().manual_seed(seed)

    @property
    def observations(self) -> tuple[str, ...]:
        """A name for what is observed of the dense model before anything is planned; none where nothing is.

        It is the same where that is the same, whatever the ratio. After it may follow names of observations that hold
        all of it and more: where one of those was made before, it serves.
        """
        return ()

    @property
    def rounds(self) -> frozenset[Place]:
        """What lies on a grid afterwards, off which a later stage would take it that touches it."""
        return frozenset()

    @property
    def tells_first(self) -> str:
        """What the stage reports progress of first, which takes longest or tells its pace soonest."""
        return "observe" if self.observations else "compress"

    @property
    def true_sequential(self) -> bool:
        """Whether each linear's statistics see the already compressed linears before it in its block."""
        return self.parameters.true_sequential if isinstance(self.parameters, WalkerParameters) else True

    def check_amount(self, text: Calibration) -> None:
        """Raise `UserError` where the method cannot work with so many windows, or so few."""

    def check_pattern(self, pattern: str) -> None:
        """Raise `UserError` where the method, with its parameters, cannot leave an N:M pattern."""

    def cost(self, shape: ModelFacts, text: Calibration | None) -> float:
        """Return the floating-point operations of the stage on a model of this shape."""
        raise NotImplementedError

    def rounding(self, blocks: int, inputs: int) -> float:
        """Return by how much of a model of so many blocks, and inputs of the narrowest linear, rounding may miss."""
        return 0.0

    def memory(self, shape: ModelFacts, text: Calibration | None, item: int) -> int:
        """Return the bytes held at most beside a model of `item` bytes a weight: inputs and live activations."""
        if text is None:
            return 4 * max(shape.hidden * shape.ffn, 1)
        live = 4 * 2 * shape.hidden + 3 * (shape.hidden + shape.ffn)  # inputs and outputs of the block's linears
        return text.windows * text.window * (shape.hidden + live) * item


class LinearMethod(Method):
    """Compresses one linear after the other, each by itself. Subclasses override `compress`."""

    by_layer = True
    keeps: ClassVar[Keeps] = "zeros"  # a ratio takes more of some groups of a pattern than of others
    observes_gradients: ClassVar[bool] = False  # instead of sums over inputs
    # Each linear is kept as it is done, so that an interrupted stage goes on; of what gives a weight and its zeros.
    resumes: ClassVar[bool] = False

    def sums(self, role: str) -> frozenset[Sum]:
        """Return the sums over the input of a linear with this role that `compress` and `observe` read."""
        return frozenset()

    @property
    def scans(self) -> bool:
        """Whether it is observed by how much the loss rises when a block alone is compressed (`core.engine.scan`)."""
        return False

    @property
    def evenly(self) -> LinearMethod:
        """The method with all parts losing the same, which is what a scan compresses by."""
        return self

    def observed_sums(self, role: str) -> frozenset[Sum]:
        """Return the sums over the input of a linear with this role that `observe` reads."""
        return self.sums(role)

    def observe(self, weight: Tensor, statistics: Statistics) -> Tensor:
        """Return what `plan` or `shares` wants to know of one dense linear (out, in); only where that is observed."""
        raise NotImplementedError

    def accumulator(self) -> Accumulator:
        """Return what gathers the one tensor of a dense linear that `plan` wants to know; only of what
        `observes_gradients`."""
        raise NotImplementedError

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> dict[str, Any]:
        """Look at all dense linears, and at what was observed of each by name, before any is compressed.

        Return by name what `compress` needs to know.
        """
        return {}

    def shares(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> dict[str, float]:
        """Return by name the share of each linear that goes, so that the ratio of all does; none where each loses it.

        `observed` is as for `plan`; of what scans, the rise of the loss with the linear's block, ().
        """
        return {}

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: Any = None) -> Compressed:
        """Compress one linear. `weight` is (out, in) fp32 and may be overwritten; `plan` is this linear's entry."""
        raise NotImplementedError

    def cost(self, shape: ModelFacts, text: Calibration | None) -> float:
        """Forwards over the calibration text, Gram matrices and their factors, and ranking the weights."""
        passes = (1 if self.true_sequential else 2) + bool(self.observations and not self.observes_gradients)
        return SELECTION * shape.block_weights + walking(shape, text, passes, self.sums)

    def memory(self, shape: ModelFacts, text: Calibration | None, item: int) -> int:
        return super().memory(shape, text, item) + gram_bytes(shape, self.sums)


class TableMethod(Method):
    """Compresses the embedding, and the head where it is not tied to it. Subclasses override `compress_table`."""

    touches = frozenset({"tables"})

    def compress_table(self, weight: Tensor, target: Target) -> Compressed:
        """Compress one table (tokens, hidden), fp32, which may be overwritten."""
        raise NotImplementedError


class Preparation(Method):
    """Writes the model in another way that suits later stages; what it computes stays the same, and nothing goes."""

    takes_amount = False
    keeps = "nothing"  # a rotation mixes zeros with the rest

    def rotation(self, width: int) -> Tensor:
        """Return the orthogonal matrix (width, width), fp64, that hidden states are turned by."""
        raise NotImplementedError

    def heads(self, width: int) -> Tensor | None:
        """Return that of each head's values; None where they stay."""
        raise NotImplementedError


class Reconstruction(LinearMethod):
    """Changes the weights that masks have kept, to bring each linear close to its reference; removes nothing."""

    family = "reconstruction"
    takes_amount = False
    keeps = "all"

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> dict[str, Any]:
        """Raise `UserError` where no linear is masked."""
        from core.models.parts.constraints import constraint_of

        if not any(constraint_of(linear.module) for linear in linears):
            raise self.unmasked()
        return {}

    def unmasked(self) -> UserError:
        """Return the error for a model without any mask."""
        return UserError(
            f"{self.label} adjusts what a mask has left, and no weight of this model is masked; prune first, such as "
            f"magnitude@0.5+{self.name}."
        )

    def memory(self, shape: ModelFacts, text: Calibration | None, item: int) -> int:
        """The dense model, which it comes close to, is there besides."""
        return super().memory(shape, text, item) + shape.parameters * item
