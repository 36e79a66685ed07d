"""Methods that prepare a model for later stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.methods.base import Method

if TYPE_CHECKING:
    from torch import Tensor


class TransformMethod(Method):
    """Writes the model in another way that suits later stages; what it computes stays the same, and nothing goes."""

    takes_amount = False
    preserves = "nothing"  # a rotation mixes zeros with the rest

    def rotation(self, width: int) -> Tensor:
        """Return the orthogonal matrix (width, width), fp64, that hidden states are turned by."""
        raise NotImplementedError

    def heads(self, width: int) -> Tensor | None:
        """Return that of each head's values; None where they stay."""
        raise NotImplementedError
