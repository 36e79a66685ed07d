"""Methods that prepare a model for later stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from core.methods.base import Method
from core.methods.traits import STORED, Trait

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.shape import ModelShape
    from core.specs import TextWindows


class TransformMethod(Method):
    """A method that rewrites the model for later stages without changing its outputs; it removes nothing."""

    kind = "rotation"
    takes_amount = False
    leaves = frozenset({"rotation"})
    accepts = frozenset({"rotation"})  # a rotation mixes zeros with the rest
    refusals: ClassVar[Mapping[Trait, str]] = dict.fromkeys(
        STORED - {"grid"}, "would mix the weights that {label} compressed"
    )
    effect = "transformed"

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        """Count the rotation, and one matrix with its rotated one, in fp64."""
        return 8 * shape.hidden * (shape.hidden + 2 * max(shape.hidden, shape.ffn))

    def rotation(self, width: int) -> Tensor:
        """Return the orthogonal matrix (width, width), fp64, that rotates the hidden states."""
        raise NotImplementedError

    def heads(self, width: int) -> Tensor | None:
        """Return the orthogonal matrix that rotates each head's values; None leaves them unchanged."""
        raise NotImplementedError
