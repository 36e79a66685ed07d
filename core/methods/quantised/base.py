"""Bases of methods that round weights to a few bits: the amount is bits, and each group of inputs has a scale.

Some round the linears of a block together, since they compare outputs of several of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from core.methods.annotations import Linear, Module, Tensor
from core.methods.linear import Compressed, LinearMethod, Plan, Target
from core.methods.numerics.groups import GROUP_SIZE, SHARED, ScaleParameters, check_groups
from core.methods.parameters import MethodParameters
from core.methods.terms import STORED, Kind

BITS = (2, 3, 4, 8)


class GroupParameters(MethodParameters):
    group_size: int = Field(default=GROUP_SIZE, ge=0, le=65536, description=SHARED)


class GridParameters(ScaleParameters, GroupParameters):
    clip: bool = Field(
        default=False,
        description="Narrow each group's range to the one with the smallest rounding error, in 80 steps.",
    )


class QuantisedMethod(LinearMethod):
    """A method that rounds the weights of each linear; the amount is bits per weight without scales and zero points."""

    family = "quantisation"
    ratio_kind = "bits"
    bit_choices: ClassVar[tuple[int, ...]] = BITS
    leaves = frozenset({"grid"})
    accepts = STORED - {"grid"}
    float_zero_point: ClassVar[bool] = False  # whether zero points are real numbers instead of integers
    Parameters = GroupParameters

    def group(self, inputs: int) -> int:
        """Return the number of inputs that share a scale."""
        return self.parameters.group_size or inputs

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> Plan:
        """Raise `UserError` if the groups do not divide a linear's inputs."""
        check_groups(linears, self.parameters.group_size)
        return {}


@dataclass(frozen=True)
class BlockView:
    """One block of the model, with its outputs on the calibration data."""

    name: str  # such as model.layers.0
    module: Module
    linears: Sequence[Linear]
    parts: int  # number of micro-batches
    run: Callable[[int], Tensor]  # output (windows, tokens, hidden) on a micro-batch with the current weights
    dense: Sequence[Tensor]  # the dense block's outputs by micro-batch, for a method that `follows_dense`
    alive: Callable[[], None]  # to call now and then in long loops; raises if the run must stop


@dataclass(frozen=True)
class QuantisedLinear:
    """A linear of a block after a method: the weight before, the result, and inputs that measure its error."""

    before: Tensor  # (out, in) fp32, the same function of its inputs as the dense weight
    after: Compressed
    sample: Tensor  # (tokens, in)


class BlockQuantMethod(QuantisedMethod):
    """A method that rounds all linears of a block together, on the outputs of the rounded blocks before it."""

    kind: ClassVar[Kind] = "blocks of linears"
    selects_layers: ClassVar[bool] = False  # the block changes as a whole
    follows_dense: ClassVar[bool] = False  # whether it compares with the dense block's outputs
    data_requirement = "calibration"

    def round_block(self, view: BlockView, target: Target) -> dict[str, QuantisedLinear]:
        """Return each rounded linear by name; may change other weights of the block in place."""
        raise NotImplementedError
