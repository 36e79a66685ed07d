"""Groups of inputs that share a scale: their size, the rule of the scale, and whether they divide a model's linears."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from core.errors import UserError
from core.methods.base import Method
from core.methods.parameters import MethodParameters

if TYPE_CHECKING:
    from core.models.parts.blocks import Linear

GROUP_SIZE = 64  # by default: what divides the widths of small models, too
SHARED = "Consecutive inputs of a row that share a scale; 0 is the whole row."
SYMMETRIC = (
    "Whether codes reach as far below 0 as above; otherwise each group has a zero of its own, which takes as many bits "
    "as a weight."
)
ScaleRule = Literal["signed", "range"]
RULE = (
    "How the scale of a symmetric group follows from its largest weight w: signed gives w the code -2^(b-1), so a "
    "scale may be negative (as in llama.cpp's Q4_0); range spreads all codes over [-|w|, |w|] and leaves half a step "
    "unused at each end (as in llm-compressor)."
)
OFFERED = (16, 32, 64, 128)  # where one does not divide


class ScaleParameters(MethodParameters):
    symmetric: bool = Field(default=True, description=SYMMETRIC)
    grid: ScaleRule = Field(default="signed", description=RULE)


class SymmetricScales(Method):
    """A method that may round to symmetric grids: those of its version `version` follow the rule `range`, those of the
    next are signed. So a stage's version says its rule, and its parameters do not.
    """

    parameters: ScaleParameters

    @property
    def result_version(self) -> int:
        return self.version + (self._symmetric and self.parameters.grid == "signed")

    @classmethod
    def settings_at(cls, version: int, parameters: Mapping[str, Any]) -> dict[str, Any]:
        by_range = version <= cls.version and cls(cls.parse_parameters(parameters))._symmetric
        return {**parameters, "grid": "range"} if by_range else dict(parameters)

    def stored_parameters(self) -> dict[str, Any]:
        return {name: value for name, value in super().stored_parameters().items() if name != "grid"}

    @property
    def _symmetric(self) -> bool:
        return bool(self.quantised_places) and self.parameters.symmetric


def check_groups(linears: Sequence[Linear], size: int) -> None:
    """Raise `UserError` where groups of a size do not divide a linear's inputs; 0, the whole row, always does."""
    widths = sorted({linear.shape[1] for linear in linears})
    for linear in linears:
        if linear.shape[1] % (size or linear.shape[1]):
            fit = [str(size) for size in OFFERED if not any(width % size for width in widths)]
            choices = " or ".join([", ".join(fit), "0, the whole row"] if fit else ["0, the whole row"])
            raise UserError(
                f"Groups of {size} do not divide {linear.name}, of {linear.shape[1]} inputs; choose {choices}."
            )
