"""The declaration of a method: the form, the command line and the documentation are generated from it.

A method never loops over layers and never names an architecture. The walker (`core.engine.walking.walker`) passes it
one linear at a time, with the statistics of that linear's input.
"""

from collections.abc import Mapping
from typing import ClassVar, Protocol, TypeVar, cast

from pydantic import ValidationError

from core.amount import Amount, Bits, Pattern, Ratio
from core.base.errors import UserError, echo
from core.methods.annotations import Generator, ModelShape, PreTrainedModel
from core.methods.parameters import MethodParameters, ShiftedParameters, WalkerParameters, parse_shifts
from core.methods.terms import REASONS, STORED, Citation, Family, Kind, Place, Reads, Structure, Trait
from core.specs import RatioKind, Scalar, TextWindows, sha256

P = TypeVar("P", bound=MethodParameters, covariant=True)


class _Declares(Protocol[P]):
    """A method with parameters of one class."""

    _parameters: MethodParameters

    @property
    def Parameters(self) -> type[P]: ...  # noqa: N802


class Method:
    """A compression method. Its `kind` decides how the engine runs it.

    Parameters can change `data_requirement` and `leaves`, so an instance may override those of its class.
    """

    kind: ClassVar[Kind]  # declared by the base class of a kind
    name: ClassVar[str]
    label: ClassVar[str]
    short_label: ClassVar[str] = ""  # in the short names of variants; empty: the label
    family: ClassVar[Family]  # heading on pages and in documents
    citation: ClassVar[Citation | None] = None
    summary: ClassVar[str]  # one sentence for someone who has read one paper on pruning
    idea: ClassVar[str]  # two or three sentences for the same reader: why it works, then how
    formulas: ClassVar[tuple[str, ...]]  # LaTeX: the criterion, then the update of the weights
    # Meaning of the LaTeX symbols that the shared legend of `core.methods.fields` lacks.
    symbols: ClassVar[Mapping[str, str]] = {}
    version: ClassVar[int] = 1
    data_requirement: Reads = "nothing"
    draws: ClassVar[bool] = False  # whether it draws random numbers, only from `generator`
    streams: ClassVar[bool] = True  # whether it works block by block on a model that is not in memory
    takes_amount: ClassVar[bool] = True  # whether it needs an amount, such as a ratio or an N:M pattern
    selects_layers: ClassVar[bool] = False  # whether a user can select some of the linears
    supports_nm: ClassVar[bool] = False  # whether N:M sparsity is possible
    bit_choices: ClassVar[tuple[int, ...]] = ()  # bits per weight to request instead of a ratio
    factor_choices: ClassVar[tuple[float, ...]] = ()  # compression factors that a form offers instead of a ratio
    ratio_kind: ClassVar[RatioKind] = "sparsity"
    modifies: ClassVar[frozenset[Place]] = frozenset({"linears"})  # places whose weights may change
    requires: ClassVar[Structure | None] = None  # what the blocks of a model must have
    leaves: frozenset[Trait] = frozenset()  # traits of the model afterwards, besides the pattern of an N:M amount
    accepts: ClassVar[frozenset[Trait]] = STORED  # traits of earlier stages that it preserves
    Parameters: ClassVar[type[MethodParameters]] = MethodParameters

    def __init__(self, parameters: MethodParameters | None = None, seed: int | None = None):
        self._parameters = parameters or self.Parameters()
        self.seed = seed or 0

    @property
    def parameters(self: _Declares[P]) -> P:
        """The method's parameters, of its class `Parameters`."""
        return cast("P", self._parameters)

    @classmethod
    def create(cls, parameters: MethodParameters, seed: int | None, amount: Amount | None = None) -> "Method":
        """Return the method with its parameters.

        The parameters or the amount may select another class.
        """
        return cls(parameters, seed)

    @classmethod
    def parse_parameters(cls, settings: Mapping[str, Scalar]) -> MethodParameters:
        """Validate parameters, whose values may be text; a `UserError` names the first invalid one."""
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
        """Version of the method's results with its parameters."""
        return self.version

    @classmethod
    def settings_at(cls, version: int, parameters: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Return the parameters that mean now what `parameters` meant at `version`."""
        return dict(parameters)

    def stored_parameters(self) -> dict[str, Scalar]:
        """Return the parameters to store: those neither at their default nor implied by the version."""
        return self.parameters.model_dump(exclude_defaults=True)

    @property
    def seeded(self) -> bool:
        """Whether the seed changes the result and is thus part of the key."""
        return self.draws or self.data_requirement != "nothing"

    def generator(self, name: str | None = None) -> Generator:
        """Create a random generator on the CPU, the same for the same seed and name.

        With the `name` of a linear, each linear draws its own numbers, in whatever order they are compressed. Raises
        `TypeError` if the method does not declare `draws`.
        """
        import torch

        if not self.draws:
            raise TypeError(f"{type(self).__name__} does not declare that it draws; set draws = True on the class.")
        seed = self.seed if name is None else int(sha256(str(self.seed), name)[:15], 16)
        return torch.Generator().manual_seed(seed)

    @property
    def observations(self) -> tuple[str, ...]:
        """Name of the observation of the dense model that planning needs; empty if it needs none.

        The same name means the same observation, at any ratio. Names of more complete observations may follow it; a
        stored one of these is used instead.
        """
        return ()

    @property
    def first_progress_step(self) -> str:
        """Step of the first progress report: the longest, or the one that reveals the pace soonest."""
        return "observe" if self.observations else "compress"

    @property
    def true_sequential(self) -> bool:
        """Whether each linear's statistics include the compression of the linears before it in its block."""
        return self.parameters.true_sequential if isinstance(self.parameters, WalkerParameters) else True

    def check_before(self, left: frozenset[Trait]) -> None:
        """Raise `UserError` if the method needs another trait than those that earlier stages `left`."""

    def refusal(self, trait: Trait) -> str:
        """Return why the method cannot follow a stage that leaves this trait, as `core.methods.terms.REASONS` do."""
        return REASONS[trait]

    def check_amount(self, text: TextWindows) -> None:
        """Raise `UserError` for a number of sequences that the method cannot work with."""

    def check_pattern(self, pattern: Pattern) -> None:
        """Raise `UserError` if the method cannot leave an N:M pattern with its parameters."""

    @property
    def shifts(self) -> dict[int, int]:
        """Steps of the amount of single blocks; the others have none."""
        return parse_shifts(self.parameters.shifts) if isinstance(self.parameters, ShiftedParameters) else {}

    def check_shifts(self, amount: Amount) -> None:
        """Raise `UserError` if the method has `shifts` that it cannot apply to an amount."""
        even = isinstance(self.parameters, ShiftedParameters) and self.parameters.even
        between = isinstance(amount, Bits) and amount.bits != int(amount.bits)  # so that no block has the mean
        if self.shifts and not (even and (isinstance(amount, Ratio) or between)):
            raise UserError(
                f"{self.label}: shifts need an even ratio or a mean of bits, such as 0.5 or 4.25bit, not {amount} with "
                "these parameters; remove shifts."
            )

    def install(self, model: PreTrainedModel, amount: Amount | None) -> None:
        """Change how a compressed model computes; a checkpoint does not hold this, so it runs after each loading."""

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Estimate the floating-point operations of the stage on a model of this shape."""
        raise NotImplementedError

    def ratio_tolerance(self, blocks: int, inputs: int) -> float:
        """Return the largest error of the ratio by rounding, by number of blocks and inputs of the narrowest linear."""
        return 0.0

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        """Estimate the peak bytes besides the model, of `item` bytes per weight.

        All sequences but one pause inside a block with their live activations (`core.engine.walking.walker`).
        """
        if text is None:
            return 4 * max(shape.hidden * shape.ffn, 1)
        paused = max(6 * shape.hidden, 3 * shape.hidden + shape.ffn)  # at the output projection, or at the last linear
        live = 4 * 2 * shape.hidden + 3 * (shape.hidden + shape.ffn)  # inputs and outputs of the block's linears
        return text.window * (text.windows * paused + live) * item
