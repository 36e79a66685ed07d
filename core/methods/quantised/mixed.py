"""GPTQ for a requested mean of bits: each linear gets the bits that lower the model's loss most per bit.

Rounding a linear by D adds to the loss L, to second order, half of D' H D. The empirical Fisher matrix, the mean of the
gradients' outer products, estimates the Hessian H (Kim et al., SqueezeLLM, 2023, arXiv:2306.07629, section 4.1). Here
it uses whole rows of the weights: the mean over sequences of sum_i (dL/dW_i . D_i)^2. D is the change by rounding to
nearest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.methods.cost import differentiating, gradient_bytes
from core.methods.inputs import Accumulator, Target
from core.methods.quantised.gptq import GPTQ

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.parts.blocks import Linear
    from core.models.parts.grids import Grid
    from core.models.shape import ModelShape
    from core.specs import TextWindows

ROUNDING = 20  # operations to round a weight and score the change


class MixedGPTQ(GPTQ):
    observes_gradients = True

    @property
    def observations(self) -> tuple[str, ...]:
        how = self.parameters
        signed = ", signed" if how.symmetric and how.grid == "signed" else ""
        return (f"losses of rounding, groups {how.group_size}, symmetric {how.symmetric}, clip {how.clip}{signed}",)

    @property
    def first_progress_step(self) -> str:
        return "gradients"

    def accumulator(self) -> Accumulator:
        return RoundingLosses(self.bit_choices, self.find)

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the bits of each linear by name."""
        from core.methods.quantised.allocation import allocate_bits

        super().plan(linears, target, observed)
        sizes = {linear.name: linear.weight.numel() for linear in linears}
        return dict(
            allocate_bits({name: observed[name].tolist() for name in sizes}, sizes, self.bit_choices, target.bits)
        )

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        if text is None:
            return super().cost(shape, text)
        rounding = ROUNDING * len(self.bit_choices) * text.windows * shape.block_weights
        return super().cost(shape, text) + differentiating(shape, text) + rounding

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int) -> int:
        walk = super().memory(shape, text, item)
        return walk if text is None else max(walk, gradient_bytes(shape, text, copies=1))


class RoundingLosses:
    """The rise in loss from rounding a weight (out, in) at each of `widths`, up to a common factor."""

    def __init__(self, widths: Sequence[int], find: Callable[[Tensor, int], Grid]):
        self.widths, self.find = widths, find
        self.grids: list[Grid] = []
        self.losses = [0.0] * len(widths)

    def add(self, weight: Tensor, gradient: Tensor) -> None:
        if not self.grids:
            self.grids = [self.find(weight, bits) for bits in self.widths]
        for place, grid in enumerate(self.grids):
            along = ((grid.nearest(weight) - weight) * gradient).sum(1)  # (out,)
            self.losses[place] += float(along.double().square().sum())

    def tensors(self) -> dict[str, Tensor]:
        import torch

        return {"losses": torch.tensor(self.losses, dtype=torch.float64)}
