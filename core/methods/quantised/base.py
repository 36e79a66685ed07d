"""What methods share that round weights to a few bits: bits as the amount, groups of inputs with a scale each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from core.errors import UserError
from core.methods.base import Keeps, LinearMethod, MethodParameters, Target

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.parts.blocks import Linear

BITS = (2, 3, 4, 8)
GROUPS = (16, 32, 64, 128)  # that are offered where one does not divide


class GroupParameters(MethodParameters):
    group_size: int = Field(
        default=64, ge=0, le=65536, description="Consecutive inputs of a row that share a scale; 0 is the whole row."
    )


class GridParameters(GroupParameters):
    symmetric: bool = Field(
        default=True,
        description="Whether codes reach as far below 0 as above; otherwise each group has a zero of its own, which "
        "takes as many bits as a weight.",
    )
    clip: bool = Field(
        default=False,
        description="Whether each group's range is narrowed to where its rounding errors are smallest, in 80 steps.",
    )


class Quantised(LinearMethod):
    """Rounds the weights of each linear. The amount is bits a weight, without scales and zeros."""

    family = "quantisation"
    ratio_kind = "bits"
    bits = BITS
    keeps: ClassVar[Keeps] = "all"
    mark = "hexagon"
    parameters: GroupParameters
    Parameters = GroupParameters

    def group(self, inputs: int) -> int:
        """Return how many inputs share a scale."""
        return self.parameters.group_size or inputs

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> dict[str, Any]:
        """Raise `UserError` where the groups do not divide a linear's inputs."""
        widths = sorted({linear.shape[1] for linear in linears})
        for linear in linears:
            if linear.shape[1] % self.group(linear.shape[1]):
                fit = [str(size) for size in GROUPS if not any(width % size for width in widths)]
                raise UserError(
                    f"Groups of {self.parameters.group_size} do not divide {linear.name}, of {linear.shape[1]} inputs; "
                    f"choose {', '.join([*fit, ''])}or 0, the whole row."
                )
        return {}
