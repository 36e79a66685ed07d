"""Methods that prepare a model for later stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.methods.base import Method

if TYPE_CHECKING:
    from torch import Tensor

    from core.methods.traits import Trait
    from core.models.shape import ModelShape
    from core.specs import TextWindows


class TransformMethod(Method):
    """A method that rewrites the model for later stages without changing its outputs; it removes nothing."""

    kind = "rotation"
    requires = "rotation"
    takes_amount = False
    leaves = frozenset({"rotation"})
    accepts = frozenset({"rotation"})  # a rotation mixes zeros with the rest

    def refusal(self, trait: Trait) -> str:
        mixed = trait not in ("grid", "runtime")
        return "would mix the weights that {label} compressed" if mixed else super().refusal(trait)

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        """Count the rotation, and one matrix with its rotated one, in fp64."""
        return 8 * shape.hidden * (shape.hidden + 2 * max(shape.hidden, shape.ffn))

    def rotation(self, width: int) -> Tensor:
        """Return the orthogonal matrix (width, width), fp64, that rotates the hidden states."""
        raise NotImplementedError

    def heads(self, width: int) -> Tensor | None:
        """Return the orthogonal matrix that rotates each head's values; None leaves them unchanged."""
        raise NotImplementedError
