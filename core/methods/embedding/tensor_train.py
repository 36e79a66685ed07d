"""Tensor train: every token's embedding by itself as a chain of small cores.

References: Xu et al., TensorGPT, 2023 (arXiv:2307.00526); Xu et al., TensorSLM: Energy-efficient Embedding Compression
of Sub-billion Parameter Language Models on Low-end Devices, 2025 (arXiv:2506.13514). As no token's cores depend on
another's, entries of the vocabulary can come and go. The papers fill a row up to a power of 2 and fold it to sizes of
2; here such shapes are among others, and what is closest on a sample of rows is taken. The second paper's energy is
that of its device, which is not measured here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from core.errors import UserError
from core.methods.embedding.base import EmbeddingMethod, EmbeddingParameters
from core.methods.embedding.shapes import Shape, candidates, highest_cap, numbers, parse_shape, ranks, written
from core.methods.terms import Citation

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.modeling_slimscope import TensorTrainEmbedding
    from core.models.shape import ModelShape
    from core.specs import TextWindows

CHUNK = 4096  # rows that are decomposed at once
SAMPLE = 256  # rows on which shapes are compared
DECOMPOSITION = 130  # operations of a train, over its row's entries and the square root of their number


class TensorTrainParameters(EmbeddingParameters):
    shape: str | None = Field(
        title="Shape of a row",
        default=None,
        max_length=100,
        description="What a row is folded to, such as 8x8x9: sizes whose product is the width of the embedding, or "
        "larger, as rows are filled up with zeros; the one that is closest on a sample of rows if not given.",
    )
    rank: int | None = Field(
        title="Highest rank",
        default=None,
        ge=1,
        le=4096,
        description="The highest rank between two cores; the highest that the factor allows if not given.",
    )

    @field_validator("shape")
    @classmethod
    def _check_shape(cls, text: str | None) -> str | None:
        if text is not None:
            parse_shape(text)
        return text


class TensorTrain(EmbeddingMethod):
    name = "tensor-train"
    label = "Tensor train"
    citation = Citation(
        title="TensorGPT: Efficient Compression of the Embedding Layer in LLMs based on the Tensor-Train Decomposition",
        authors="Xu et al.",
        year=2023,
        url="https://arxiv.org/abs/2307.00526",
    )
    summary = "Keeps the embedding of every token as a chain of small cores, each token's by itself; reads no text."
    idea = (
        "A vector folded to a small array can be written as a product of one slice from each of a few small cores, and "
        "singular vectors find the cores that come closest. No token needs another's, so a vocabulary can grow and "
        "shrink on a device; the energy that TensorSLM saves on one cannot be measured here."
    )
    formulas = (
        r"x_{i_1 \cdots i_N} \approx G_1[i_1]\, G_2[i_2] \cdots G_N[i_N]",
        r"P = \sum_{k=1}^{N} r_{k-1}\, I_k\, r_k",
    )
    symbols = {
        "x": "embedding of a token, folded to an array",
        r"k,\ N": "a dimension of the array, and how many there are",
        r"i_k,\ I_k": "an index along a dimension, and how many there are",
        "G_k[i_k]": "a slice of a core of the token, a matrix",
        r"r_{k-1},\ r_k": "rows and columns of that matrix, the ranks, of which the first and the last are 1",
        "P": "numbers that a token keeps",
    }
    colour = 5
    parameters: TensorTrainParameters
    Parameters = TensorTrainParameters

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        return DECOMPOSITION * shape.vocabulary * shape.hidden**1.5

    def factored(
        self, table: Tensor, factor: float, progress: Callable[[int, int], None]
    ) -> tuple[TensorTrainEmbedding, str]:
        import torch

        from core.methods.embedding.trains import train_cores
        from core.models.modeling_slimscope import TensorTrainEmbedding

        tokens, width = table.shape
        shape, cap = self._chosen(table, width / factor)
        own = ranks(shape, cap)
        with torch.device("meta"):
            found = TensorTrainEmbedding(tokens, width, shape, own)
        cores = table.new_empty(found.cores.shape)
        progress(0, tokens)
        for part in found.parts(CHUNK):
            cores[part] = train_cores(table[part], shape, own)
            progress(part.stop, tokens)
        found.cores = torch.nn.Parameter(cores)
        return found, f"{written(shape)} of ranks {', '.join(map(str, own[1:-1]))}, {cores.shape[1]} numbers a token"

    def _chosen(self, table: Tensor, most: float) -> tuple[Shape, int]:
        """Return the shape and the cap, of at most so many numbers a token, whose trains are closest to a table's rows.

        What the parameters say is taken; what they leave open is tried on rows evenly spread over the vocabulary.
        """
        shapes, cap = self._shapes(width := table.shape[1]) or list(candidates(width)), self.parameters.rank
        caps = {shape: cap or highest_cap(shape, most) for shape in shapes}
        fitting = {shape: own for shape, own in caps.items() if own and numbers(shape, own) <= most}
        if not fitting:
            least = min(numbers(shape, cap or 1) for shape in shapes)
            free = ", or leave shape and rank out" if self.parameters.shape or cap else ""
            raise UserError(
                f"{self.label}: at most {most:.4g} numbers a token are asked for, and the fewest that it can have so "
                f"are {least}; ask for a smaller factor{free}."
            )
        sample = table[:: max(1, len(table) // SAMPLE)][:SAMPLE]
        return min(fitting.items(), key=lambda one: _missed(sample, *one))

    def _shapes(self, width: int) -> list[Shape] | None:
        """Return the shape that is asked for; None where that is left open."""
        if self.parameters.shape is None:
            return None
        shape = parse_shape(self.parameters.shape)
        if math.prod(shape) < width:
            raise UserError(
                f"{self.label}: a row of {width} numbers does not fit into the shape {self.parameters.shape}, which "
                f"has {math.prod(shape)}; give sizes whose product is at least {width}."
            )
        return [shape]


def _missed(rows: Tensor, shape: Shape, cap: int) -> float:
    """Return the squared error of rows (n, width) as trains."""
    from core.methods.embedding.trains import train_cores
    from core.models.modeling_slimscope import TensorTrainEmbedding

    own = ranks(shape, cap)
    count, width = rows.shape
    found = TensorTrainEmbedding(count, width, shape, own).requires_grad_(False)
    found.cores.data = train_cores(rows, shape, own)
    return float((found.rows(slice(None)) - rows).square().sum())
