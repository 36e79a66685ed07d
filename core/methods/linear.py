"""Methods that compress one linear after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from core.methods.base import Method
from core.methods.cost import COPIES, SELECTION, Sum, gram_bytes, walking
from core.methods.inputs import Accumulator, Compressed, Plan, Statistics, Target
from core.methods.terms import STORED, Kind
from core.models.shape import ModelShape
from core.specs import TextWindows

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.parts.blocks import Linear


class LinearMethod(Method):
    """A method that compresses one linear after another, each on its own. Subclasses override `compress`."""

    kind: ClassVar[Kind] = "linears"
    selects_layers = True
    leaves = frozenset({"zeros"})
    accepts = STORED - {"pattern", "grid", "convolutions"}  # a ratio removes unevenly from the groups of N:M
    observes_gradients: ClassVar[bool] = False  # instead of sums over inputs

    def required_statistics(self, role: str) -> frozenset[Sum]:
        """Return the input sums that `compress` and `observe` need for a linear with this role."""
        return frozenset()

    @property
    def needs_sensitivity(self) -> bool:
        """Whether it needs the rise in loss with each block compressed alone (`core.engine.scan`)."""
        return False

    @property
    def uniform(self) -> LinearMethod:
        """The same method with equal ratios for all parts; a scan compresses with it."""
        return self

    def observed_sums(self, role: str) -> frozenset[Sum]:
        """Return the input sums that `observe` needs for a linear with this role."""
        return self.required_statistics(role)

    def observe(self, weight: Tensor, statistics: Statistics) -> Tensor:
        """Return the observation of one dense linear (out, in); called only if `observations` names one."""
        raise NotImplementedError

    def accumulator(self) -> Accumulator:
        """Return the accumulator of a dense linear's gradients, for one tensor; only with `observes_gradients`."""
        raise NotImplementedError

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> Plan:
        """Plan all linears before the first is compressed; return the `plan` of each by name.

        `observed` holds the observation of each dense linear by name.
        """
        return {}

    def layer_ratios(
        self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]
    ) -> dict[str, float]:
        """Return the ratio of each linear by name, so that together they meet the target; empty if all are equal.

        `observed` is as for `plan`. With `needs_sensitivity` it is the rise in loss for the linear's block, ().
        """
        return {}

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: int | None = None) -> Compressed:
        """Compress one linear.

        Args:
            weight: (out, in) fp32; may be overwritten.
            statistics: Sums over the linear's input.
            target: Amount to remove.
            plan: The linear's entry of `plan`.
        """
        raise NotImplementedError

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Count forward passes over the calibration data, Gram matrices with their factors, and ranking weights."""
        passes = (1 if self.true_sequential else 2) + bool(self.observations and not self.observes_gradients)
        return SELECTION * shape.block_weights + walking(shape, text, passes, self.required_statistics)

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        copies = 4 * COPIES * shape.hidden * max(shape.hidden, shape.ffn)
        return super().memory(shape, text, item, streams) + copies + gram_bytes(shape, self.required_statistics)
