"""Base of methods that store the embedding in factors; their amount is a compression factor.

The factor counts the embedding table alone. The savings of the whole model are counted on the model.
"""

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from core.methods.annotations import FactoredEmbedding, ModelShape, Tensor, TextWindows
from core.methods.base import Method
from core.methods.parameters import MethodParameters
from core.methods.terms import STORED


class EmbeddingParameters(MethodParameters):
    head: Literal["rebuilt", "explicit"] = Field(
        title="Tied head",
        default="rebuilt",
        description="How a head that shares the embedding table is stored. rebuilt: its weights are rebuilt from "
        "the factors when needed. explicit: it keeps the whole table, so the model saves nothing. An untied head "
        "stays unchanged.",
    )


class EmbeddingMethod(Method):
    """A method that stores the embedding in factors. Subclasses override `factored`."""

    kind = "embedding"
    family = "embedding"
    ratio_kind = "embedding"
    factor_choices = (1.5, 2, 3, 4)
    modifies = frozenset({"tables"})
    leaves = frozenset({"embedding"})
    accepts = STORED - {"table grid", "embedding"}
    Parameters = EmbeddingParameters

    def factored(
        self, table: Tensor, factor: float, progress: Callable[[int, int], None]
    ) -> tuple[FactoredEmbedding, str]:
        """Return the factored embedding of a table (tokens, width), fp32, and a description of its factors.

        It has at most as many numbers as the table over `factor`. `progress` receives the finished and the total rows.
        Raises `UserError` if no factors are that small, or none with the parameters' shape.
        """
        raise NotImplementedError

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        """Count the table in fp32, its factors and a workspace."""
        return 3 * 4 * shape.vocabulary * shape.hidden
