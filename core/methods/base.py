"""What a method is: a declaration that form, command line and documentation are generated from, and tensor functions.

A method never loops over layers and never names an architecture: the walker (`core.engine.walker`) hands it one linear
at a time, with the statistics of that linear's input.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError

from core.errors import UserError, echo
from core.methods.parameters import MethodParameters, WalkerParameters
from core.methods.terms import Citation, Family, Keeps, Place, Reads
from core.specs import RatioKind, TextWindows, sha256

if TYPE_CHECKING:
    from torch import Generator

    from core.models.shape import ModelShape


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
    data_requirement: Reads = "nothing"
    draws: ClassVar[bool] = False  # whether it draws random numbers, which it may do only from `generator`
    takes_amount: ClassVar[bool] = True  # whether it removes weights, so that a ratio or a pattern is asked for
    selects_layers: ClassVar[bool] = False  # whether some of the linears can be selected
    supports_nm: ClassVar[bool] = False  # whether n:m patterns are possible
    bit_choices: ClassVar[tuple[int, ...]] = ()  # a weight, that can be asked for instead of a ratio
    factor_choices: ClassVar[tuple[float, ...]] = ()  # how many times smaller is offered, where that is asked for
    mixed_precision: ClassVar[bool] = (
        False  # whether linears may get different ones, so that only their mean is asked for
    )
    ratio_kind: ClassVar[RatioKind] = "sparsity"
    preserves: ClassVar[Keeps] = "all"
    modifies: ClassVar[frozenset[Place]] = frozenset({"linears"})  # what may have other weights afterwards
    highest_offered: ClassVar[float] = 1.0  # ratio up to which charts offer to fill in points
    # How charts draw it: a place in the palette, a marker and a line. Together they are no other method's.
    colour: ClassVar[int]
    marker: ClassVar[str]
    dash: ClassVar[str] = "solid"
    parameters: MethodParameters  # a subclass with a class of its own says so here, too
    Parameters: ClassVar[type[MethodParameters]] = MethodParameters

    def __init__(self, parameters: MethodParameters | None = None, seed: int | None = None):
        self.parameters = parameters or self.Parameters()
        self.seed = seed or 0

    @classmethod
    def create(cls, parameters: MethodParameters, seed: int | None, pattern: str | None = None) -> Method:
        """Return the method with its parameters; of another class where these, or what the `pattern` of its amount
        says, decide how it is carried out.
        """
        return cls(parameters, seed)

    @classmethod
    def parse_parameters(cls, settings: Mapping[str, Any]) -> MethodParameters:
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
        return self.draws or self.data_requirement != "nothing"

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
    def quantised_places(self) -> frozenset[Place]:
        """What lies on a grid afterwards, off which a later stage would take it that touches it."""
        return frozenset()

    @property
    def first_progress_step(self) -> str:
        """What the stage reports progress of first, which takes longest or tells its pace soonest."""
        return "observe" if self.observations else "compress"

    @property
    def true_sequential(self) -> bool:
        """Whether each linear's statistics see the already compressed linears before it in its block."""
        return self.parameters.true_sequential if isinstance(self.parameters, WalkerParameters) else True

    def check_amount(self, text: TextWindows) -> None:
        """Raise `UserError` where the method cannot work with so many windows, or so few."""

    def check_pattern(self, pattern: str) -> None:
        """Raise `UserError` where the method, with its parameters, cannot leave an N:M pattern."""

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Return the floating-point operations of the stage on a model of this shape."""
        raise NotImplementedError

    def ratio_tolerance(self, blocks: int, inputs: int) -> float:
        """Return by how much of a model of so many blocks, and inputs of the narrowest linear, rounding may miss."""
        return 0.0

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int) -> int:
        """Return the bytes held at most beside a model of `item` bytes a weight: inputs and live activations."""
        if text is None:
            return 4 * max(shape.hidden * shape.ffn, 1)
        live = 4 * 2 * shape.hidden + 3 * (shape.hidden + shape.ffn)  # inputs and outputs of the block's linears
        return text.windows * text.window * (shape.hidden + live) * item
