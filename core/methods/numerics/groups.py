"""Groups of inputs that share a scale: their size, the rule of the scale, and a check that they divide the inputs."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from core.base.errors import UserError
from core.methods.annotations import Linear
from core.methods.base import Method
from core.methods.parameters import MethodParameters
from core.methods.terms import GRIDS
from core.specs import Scalar

GROUP_SIZE = 64  # the default; it divides the widths of small models, too
SHARED = "Consecutive inputs of a row that share a scale; 0 means the whole row."
SYMMETRIC = "Centre each grid on 0. Otherwise each group also stores a zero point, with as many bits as a weight."
ScaleRule = Literal["signed", "range"]
RULE = (
    "How the largest weight w of a symmetric group sets the scale. signed: w gets the code -2^(b-1), so a scale "
    "may be negative (as in llama.cpp's Q4_0). range: the codes spread over [-|w|, |w|], with half a step unused "
    "at each end (as in llm-compressor)."
)
OFFERED = (16, 32, 64, 128)  # sizes that an error suggests


class ScaleParameters(MethodParameters):
    symmetric: bool = Field(default=True, description=SYMMETRIC)
    grid: ScaleRule = Field(default="signed", description=RULE)


class SymmetricScales(Method):
    """A method that may round to symmetric grids, whose rule follows from its version.

    Version `version` means the rule `range`, the next version the rule `signed`. A stage stores the version and not the
    rule.
    """

    Parameters = ScaleParameters

    @property
    def result_version(self) -> int:
        return self.version + (self._symmetric and self.parameters.grid == "signed")

    @classmethod
    def settings_at(cls, version: int, parameters: Mapping[str, Scalar]) -> dict[str, Scalar]:
        by_range = version <= cls.version and cls(cls.parse_parameters(parameters))._symmetric
        return {**parameters, "grid": "range"} if by_range else dict(parameters)

    def stored_parameters(self) -> dict[str, Scalar]:
        return {name: value for name, value in super().stored_parameters().items() if name != "grid"}

    @property
    def _symmetric(self) -> bool:
        return bool(self.leaves & GRIDS) and self.parameters.symmetric


def check_groups(linears: Sequence[Linear], size: int) -> None:
    """Raise `UserError` unless groups of `size` divide the inputs of every linear; 0, the whole row, always does."""
    widths = sorted({linear.shape[1] for linear in linears})
    for linear in linears:
        if linear.shape[1] % (size or linear.shape[1]):
            fit = [str(size) for size in OFFERED if not any(width % size for width in widths)]
            choices = " or ".join([", ".join(fit), "0, the whole row"] if fit else ["0, the whole row"])
            raise UserError(
                f"Groups of {size} do not divide the {linear.shape[1]} inputs of {linear.name}; choose {choices}."
            )
