"""Base of methods that score parts of the blocks from gradients of the loss of the dense model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from core.methods.base import Method
from core.methods.cost import SELECTION, differentiating, gradient_bytes
from core.methods.structured.base import StructuredBlockView, StructuredMethod, StructuredParameters, UnitMethod
from core.methods.structured.budget import LIGHT_UP_TO, Removal, allocate, uniform

if TYPE_CHECKING:
    from core.methods.inputs import Accumulator
    from core.models.shape import ModelShape
    from core.specs import TextWindows


class GradientParameters(StructuredParameters):
    whole_first: float | None = Field(
        title="First blocks kept whole",
        default=None,
        ge=0,
        le=1,
        description="Share of the blocks, from the first on, that stay whole. If not given: as in the paper.",
    )
    whole_last: float | None = Field(
        title="Last blocks kept whole",
        default=None,
        ge=0,
        le=1,
        description="Share of the blocks, up to the last, that stay whole. If not given: as in the paper.",
    )


class KeepEndBlocks(Method):
    """An allocation that keeps the first and the last blocks whole; the others lose the same share."""

    Parameters = GradientParameters

    def allocate(self, views: Sequence[StructuredBlockView], ratio: float) -> list[Removal]:
        shapes = [view.shape for view in views]
        given = (self.parameters.whole_first, self.parameters.whole_last)
        first, last = (
            own if share is None else round(share * len(shapes))
            for share, own in zip(given, self.whole(len(shapes), ratio), strict=True)
        )
        return allocate(shapes, ratio, uniform(shapes, ratio, first, max(first, len(shapes) - 1 - last)))

    def whole(self, blocks: int, ratio: float) -> tuple[int, int]:
        """Return how many of the first and of the last blocks stay whole: at 20 % 4 and 2 of 32, at 50 % 3 and 1."""
        first, last = (4, 2) if ratio <= LIGHT_UP_TO else (3, 1)
        return round(first / 32 * blocks), round(last / 32 * blocks)


class Gradients(StructuredMethod):
    """A method that observes the gradients of every linear's weight, one calibration sequence at a time."""

    data_requirement = "calibration"
    observes = "gradients"

    @property
    def second_order(self) -> bool:
        """Whether it also needs the squares of the gradients."""
        return True

    @property
    def observations(self) -> tuple[str, ...]:
        both = "gradients and their squares"
        return (both,) if self.second_order else ("gradients", both)

    @property
    def first_progress_step(self) -> str:
        return "gradients"

    def accumulator(self, view: StructuredBlockView, role: str) -> Accumulator:
        from core.methods.structured.taylor import Moments

        return Moments(squares=self.second_order)

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        if text is None:
            return super().cost(shape, text)
        return SELECTION * shape.block_weights + differentiating(shape, text)

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        """Count the mean gradients and, if needed, their mean squares."""
        if text is None:
            return super().memory(shape, text, item, streams)
        return gradient_bytes(shape, text, 1 + self.second_order, streams)


class GradientUnitMethod(KeepEndBlocks, Gradients, UnitMethod):
    """A method that removes heads and channels by gradients."""
