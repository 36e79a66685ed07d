"""Methods that prepare a model for later stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.methods.base import Method

if TYPE_CHECKING:
    from torch import Tensor


class TransformMethod(Method):
    """A method that rewrites the model for later stages without changing its outputs; it removes nothing."""

    takes_amount = False
    preserves = "nothing"  # a rotation mixes zeros with the rest

    def rotation(self, width: int) -> Tensor:
        """Return the orthogonal matrix (width, width), fp64, that rotates the hidden states."""
        raise NotImplementedError

    def heads(self, width: int) -> Tensor | None:
        """Return the orthogonal matrix that rotates each head's values; None leaves them unchanged."""
        raise NotImplementedError
