"""Methods that compress the embedding and the head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.methods.base import Method
from core.methods.inputs import Compressed, Target

if TYPE_CHECKING:
    from torch import Tensor


class TableQuantMethod(Method):
    """A method that compresses the embedding, and the head unless tied to it. Subclasses override `compress_table`."""

    modifies = frozenset({"tables"})

    def compress_table(self, weight: Tensor, target: Target) -> Compressed:
        """Compress one table (tokens, hidden), fp32, which may be overwritten."""
        raise NotImplementedError
