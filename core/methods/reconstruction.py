"""Methods that re-solve the weights kept by a mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from core.base.errors import UserError
from core.methods.inputs import Plan, Target
from core.methods.linear import LinearMethod
from core.methods.traits import STORED, Trait
from core.specs import TextWindows

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.parts.blocks import Linear
    from core.models.shape import ModelShape


class Reconstruction(LinearMethod):
    """A method that changes kept weights to bring each linear close to its reference; it removes nothing."""

    family = "reconstruction"
    takes_amount = False
    leaves: frozenset[Trait] = frozenset()
    accepts = STORED - {"grid"}

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> Plan:
        """Raise `UserError` if no linear is masked."""
        from core.models.parts.constraints import constraint_of

        if not any(constraint_of(linear.module) for linear in linears):
            raise self._unmet()
        return {}

    def check_before(self, left: frozenset[Trait]) -> None:
        if "zeros" not in left:
            raise self._unmet()

    def _unmet(self) -> UserError:
        """Return the error for a model without any mask."""
        return UserError(
            f"{self.label} re-solves the kept weights of a pruned model, but no weight is pruned. Prune first, such as "
            f"magnitude@0.5+{self.name}."
        )

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        """Add the dense model, which is the reference, unless it streams."""
        return super().memory(shape, text, item, streams) + (not streams) * shape.parameters * item
