"""What methods share that keep the table of embeddings in factors: how many times smaller as the amount, and the head.

What is asked for is of the table as it is, and of that alone; what the whole model saves is counted on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from core.methods.base import Method
from core.methods.parameters import MethodParameters

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.modeling_slimscope import FactoredEmbedding
    from core.models.shape import ModelShape
    from core.specs import TextWindows


class EmbeddingParameters(MethodParameters):
    head: Literal["rebuilt", "explicit"] = Field(
        title="A head that shares the table",
        default="rebuilt",
        description="What becomes of a head that shares the table: its weights are rebuilt of the same factors when "
        "they are needed; or it keeps the whole table for itself, explicit, which saves nothing in all, as the factors "
        "come on top. A head with weights of its own stays as it is.",
    )


class EmbeddingMethod(Method):
    """Keeps the embedding in factors. Subclasses override `factored`."""

    family = "embedding"
    ratio_kind = "embedding"
    factor_choices = (1.5, 2, 3, 4)
    modifies = frozenset({"tables"})
    marker = "star-diamond"
    parameters: EmbeddingParameters
    Parameters = EmbeddingParameters

    def factored(
        self, table: Tensor, factor: float, progress: Callable[[int, int], None]
    ) -> tuple[FactoredEmbedding, str]:
        """Return the embedding of factors in place of a table (tokens, width) fp32, and what they are in words.

        It has at most as many numbers as the table over `factor`. `progress` hears how much of all is done. Raises
        `UserError` where there is none that small, or not of the shape that the parameters say.
        """
        raise NotImplementedError

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int) -> int:
        """The table in fp32, its factors and what makes them."""
        return 3 * 4 * shape.vocabulary * shape.hidden
