"""Base of methods that score parts of the blocks from gradients of the loss of the dense model, by Taylor scores.

References: Ma et al., LLM-Pruner, 2023 (arXiv:2305.11627), equations 3 to 5. g is the gradient of the mean loss, and F
the mean over calibration sequences of the squared gradient of each. Removing a weight changes the loss by about w g -
w^2 F / 2. A unit's score sums that over its rows or columns, before or after taking absolute values.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import Field

from core.methods.annotations import ModelShape, Tensor, TextWindows
from core.methods.base import Method
from core.methods.cost import SELECTION, differentiating, gradient_bytes
from core.methods.linear import Accumulator
from core.methods.structured.base import (
    StructuredBlockView,
    StructuredMethod,
    StructuredParameters,
    UnitMethod,
    unit_sums,
)
from core.methods.structured.budget import LIGHT_UP_TO, Removal, allocate, uniform

Taylor = Literal["vector", "first", "second", "mix"]
Score = Callable[["Tensor", dict[str, "Tensor"]], "Tensor"]  # of a weight (out, in) and its moments


class Moments:
    """The mean gradient (out, in) over sequences and, with `squares`, the mean of its square."""

    def __init__(self, squares: bool):
        self.squares = squares
        self.windows = 0
        self.means: dict[str, Tensor] = {}  # (out, in) each

    def add(self, weight: Tensor, gradient: Tensor) -> None:
        self.windows += 1
        self._average("first", gradient)
        if self.squares:
            self._average("second", gradient.square())

    def tensors(self) -> dict[str, Tensor]:
        return self.means

    def state(self) -> dict[str, Tensor]:
        import torch

        return self.means | ({"windows": torch.tensor(self.windows)} if self.windows else {})

    def restore(self, state: dict[str, Tensor]) -> None:
        self.windows = int(state["windows"])
        self.means = {name: tensor for name, tensor in state.items() if name != "windows"}

    def _average(self, name: str, value: Tensor) -> None:
        known = self.means.get(name)
        self.means[name] = value.clone() if known is None else known.lerp_(value, 1 / self.windows)


def element_scores(weight: Tensor, moments: dict[str, Tensor], taylor: Taylor) -> Tensor:
    """Return the part of each weight (out, in) in its unit's score, signed for `vector` until the unit is summed.

    `moments` are those of `Moments`.
    """
    if taylor == "vector":
        return weight * moments["first"]
    if taylor == "first":
        return (weight * moments["first"]).abs_()
    curvature = weight.square().mul_(moments["second"])
    if taylor == "second":
        return curvature.abs_()
    return (weight * moments["first"] - curvature / 2).abs_()


def unit_scores(
    view: StructuredBlockView, score: Score, signed: bool = False, fold: str = "contiguous"
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the scores of heads, {role: (heads,)}, and of channels, {role: (channels,)}, by matrix.

    `signed` is that of `unit_sums`. When whole groups are removed, `fold` = `llmpruner`
    assigns query heads k, k + n_kv, k + 2 n_kv ... to key-value head k, as in the authors' code. `contiguous` follows
    the model.
    """
    shape = view.shape
    sums = {
        role: unit_sums(score(view.weight(role), view.gradients[role]), role, shape, signed)
        for role in ("q", "k", "v", "o", *view.ffn_roles, "down")
    }
    channels = {role: sums.pop(role) for role in (*view.ffn_roles, "down")}
    if fold == "llmpruner" and shape.mode == "groups":
        sums |= {role: sums[role].view(shape.group, shape.kv_heads).T.flatten() for role in ("q", "o")}
    return sums, channels


def total(scores: dict[str, Tensor], roles: tuple[str, ...]) -> Tensor:
    """Sum the scores of the matrices with these roles."""
    import torch

    return torch.stack([scores[role] for role in roles if role in scores]).sum(0)


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
