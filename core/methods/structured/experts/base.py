"""Base of methods that remove whole experts from mixtures of experts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.methods.cost import walking
from core.methods.structured.base import StructuredMethod
from core.methods.traits import STORED

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.shape import ModelShape
    from core.specs import TextWindows


@dataclass(frozen=True)
class RoutingStatistics:
    """What the experts of one layer did on the calibration data."""

    tokens: Tensor  # (experts,) tokens that the router sent each expert, fp64
    contribution: Tensor  # (experts,) sum over these tokens of router weight times the norm of the output, fp64


class ExpertMethod(StructuredMethod):
    """A method that removes whole experts, equally many from every layer; the router chooses among the others."""

    kind = "experts"
    requires = "experts"
    modifies = frozenset()  # the remaining experts stay unchanged
    accepts = STORED - {"factors", "convolutions", "basis"}
    data_requirement = "calibration"

    @property
    def observations(self) -> tuple[str, ...]:
        return ("routing",)

    def scores(self, layer: RoutingStatistics) -> Tensor:
        """Return the importance of each expert, (experts,); those with the lowest are removed."""
        raise NotImplementedError

    def kept(self, layer: RoutingStatistics, count: int, groups: int) -> Tensor:
        """Return the kept experts of a layer, ascending, after `count` are removed, as many from every group."""
        from core.models.removal.experts import lowest_in_groups

        return lowest_in_groups(self.scores(layer).cpu(), count, groups)

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        return walking(shape, text, 1, self.sums)
