"""Methods that compress the embedding and the head."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from core.methods.base import Method
from core.methods.inputs import Compressed, Target
from core.methods.terms import Kind
from core.methods.traits import STORED

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.shape import ModelShape
    from core.specs import TextWindows


class TableQuantMethod(Method):
    """A method that compresses the embedding, and the head unless tied to it. Subclasses override `compress_table`."""

    kind: ClassVar[Kind] = "tables"
    modifies = frozenset({"tables"})
    leaves = frozenset({"table grid"})
    accepts = STORED - {"table grid", "embedding", "convolutions"}

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        """Count one table in its precision, in fp32 and after rounding."""
        return shape.vocabulary * shape.hidden * (item + 2 * 4)

    def compress_table(self, weight: Tensor, target: Target) -> Compressed:
        """Compress one table (tokens, hidden), fp32, which may be overwritten."""
        raise NotImplementedError
