"""Methods that compress one linear after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from core.methods.base import Method
from core.methods.cost import SELECTION, Sum, gram_bytes, walking
from core.methods.inputs import Accumulator, Compressed, Statistics, Target
from core.methods.terms import Keeps
from core.specs import TextWindows

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.parts.blocks import Linear
    from core.models.shape import ModelShape


class LinearMethod(Method):
    """Compresses one linear after the other, each by itself. Subclasses override `compress`."""

    selects_layers = True
    preserves: ClassVar[Keeps] = "zeros"  # a ratio takes more of some groups of a pattern than of others
    observes_gradients: ClassVar[bool] = False  # instead of sums over inputs
    # Each linear is kept as it is done, so that an interrupted stage goes on; of what gives a weight and its zeros.
    resumes: ClassVar[bool] = False

    def required_statistics(self, role: str) -> frozenset[Sum]:
        """Return the sums over the input of a linear with this role that `compress` and `observe` read."""
        return frozenset()

    @property
    def needs_sensitivity(self) -> bool:
        """Whether it is observed by how much the loss rises when a block alone is compressed (`core.engine.scan`)."""
        return False

    @property
    def uniform(self) -> LinearMethod:
        """The method with all parts losing the same, which is what a scan compresses by."""
        return self

    def observed_sums(self, role: str) -> frozenset[Sum]:
        """Return the sums over the input of a linear with this role that `observe` reads."""
        return self.required_statistics(role)

    def observe(self, weight: Tensor, statistics: Statistics) -> Tensor:
        """Return what `plan` or `shares` wants to know of one dense linear (out, in); only where that is observed."""
        raise NotImplementedError

    def accumulator(self) -> Accumulator:
        """Return what gathers the one tensor of a dense linear that `plan` wants to know; only of what
        `observes_gradients`.
        """
        raise NotImplementedError

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> dict[str, Any]:
        """Look at all dense linears, and at what was observed of each by name, before any is compressed.

        Return by name what `compress` needs to know.
        """
        return {}

    def layer_ratios(
        self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]
    ) -> dict[str, float]:
        """Return by name the share of each linear that goes, so that the ratio of all does; none where each loses it.

        `observed` is as for `plan`; of what scans, the rise of the loss with the linear's block, ().
        """
        return {}

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: Any = None) -> Compressed:
        """Compress one linear. `weight` is (out, in) fp32 and may be overwritten; `plan` is this linear's entry."""
        raise NotImplementedError

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Forwards over the calibration text, Gram matrices and their factors, and ranking the weights."""
        passes = (1 if self.true_sequential else 2) + bool(self.observations and not self.observes_gradients)
        return SELECTION * shape.block_weights + walking(shape, text, passes, self.required_statistics)

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int) -> int:
        return super().memory(shape, text, item) + gram_bytes(shape, self.required_statistics)
