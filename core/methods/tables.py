"""Methods that compress the embedding and the head."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from core.methods.base import Method
from core.methods.inputs import Compressed, Target
from core.methods.terms import Kind
from core.methods.traits import STORED

if TYPE_CHECKING:
    from torch import Tensor


class TableQuantMethod(Method):
    """A method that compresses the embedding, and the head unless tied to it. Subclasses override `compress_table`."""

    kind: ClassVar[Kind] = "tables"
    modifies = frozenset({"tables"})
    leaves = frozenset({"table grid"})
    accepts = STORED - {"table grid", "embedding", "convolutions"}

    def compress_table(self, weight: Tensor, target: Target) -> Compressed:
        """Compress one table (tokens, hidden), fp32, which may be overwritten."""
        raise NotImplementedError
