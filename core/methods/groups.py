"""Groups of inputs that share a scale, and whether they divide the linears of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.errors import UserError

if TYPE_CHECKING:
    from core.models.parts.blocks import Linear

GROUP_SIZE = 64  # by default: what divides the widths of small models, too
SHARED = "Consecutive inputs of a row that share a scale; 0 is the whole row."
SYMMETRIC = (
    "Whether codes reach as far below 0 as above; otherwise each group has a zero of its own, which takes as many bits "
    "as a weight."
)
OFFERED = (16, 32, 64, 128)  # where one does not divide


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
