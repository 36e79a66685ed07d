"""Base of methods that round weights to a few bits: the amount is bits, and each group of inputs has a scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from core.methods.inputs import Plan, Target
from core.methods.linear import LinearMethod
from core.methods.numerics.groups import GROUP_SIZE, SHARED, ScaleParameters, check_groups
from core.methods.parameters import MethodParameters
from core.methods.traits import STORED

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.parts.blocks import Linear

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
    accepts = STORED - {"grid", "convolutions"}
    float_zero_point: ClassVar[bool] = False  # whether zero points are real numbers instead of integers
    Parameters = GroupParameters

    def group(self, inputs: int) -> int:
        """Return the number of inputs that share a scale."""
        return self.parameters.group_size or inputs

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> Plan:
        """Raise `UserError` if the groups do not divide a linear's inputs."""
        check_groups(linears, self.parameters.group_size)
        return {}
