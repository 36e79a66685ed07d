"""What methods share that round weights to a few bits: bits as the amount, groups of inputs with a scale each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from core.methods.groups import GROUP_SIZE, SHARED, ScaleParameters, check_groups
from core.methods.inputs import Target
from core.methods.linear import LinearMethod
from core.methods.parameters import MethodParameters
from core.methods.terms import Keeps, Place

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.parts.blocks import Linear

BITS = (2, 3, 4, 8)


class GroupParameters(MethodParameters):
    group_size: int = Field(default=GROUP_SIZE, ge=0, le=65536, description=SHARED)


class GridParameters(ScaleParameters, GroupParameters):
    clip: bool = Field(
        default=False,
        description="Whether each group's range is narrowed to where its rounding errors are smallest, in 80 steps.",
    )


class QuantisedMethod(LinearMethod):
    """Rounds the weights of each linear. The amount is bits a weight, without scales and zeros."""

    family = "quantisation"
    ratio_kind = "bits"
    bit_choices = BITS
    preserves: ClassVar[Keeps] = "all"
    marker = "hexagon"
    float_zero_point: ClassVar[bool] = False  # of its groups: any number, or only whole ones
    parameters: GroupParameters
    Parameters = GroupParameters

    @property
    def quantised_places(self) -> frozenset[Place]:
        return self.modifies

    def group(self, inputs: int) -> int:
        """Return how many inputs share a scale."""
        return self.parameters.group_size or inputs

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> dict[str, Any]:
        """Raise `UserError` where the groups do not divide a linear's inputs."""
        check_groups(linears, self.parameters.group_size)
        return {}
