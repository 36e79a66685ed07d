"""Tensor train: each token's embedding as a chain of small cores of its own.

References: Xu et al., TensorGPT, 2023 (arXiv:2307.00526); Xu et al., TensorSLM: Energy-efficient Embedding Compression
of Sub-billion Parameter Language Models on Low-end Devices, 2025 (arXiv:2506.13514). No token's cores depend on
another's, so the vocabulary can grow and shrink. The papers pad a row to a power of 2 and fold it to sizes of 2. Here
such shapes compete with others, and the closest on a sample of rows wins. The second paper's energy on its device is
not measured here.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from core.base.errors import UserError
from core.methods.annotations import FactoredEmbedding, ModelShape, Tensor, TextWindows
from core.methods.embedding.base import EmbeddingMethod, EmbeddingParameters
from core.methods.terms import Citation

Shape = tuple[int, ...]
CHUNK = 4096  # rows per decomposition
SAMPLE = 256  # rows that compare shapes
DECOMPOSITION = 130  # operations of a train, divided by width^1.5


def parse_shape(text: str) -> Shape:
    """Return (8, 8, 9) for `8x8x9`; raise `PydanticCustomError` unless it has at least two sizes above 1."""
    known = re.fullmatch(r"[1-9][0-9]{0,5}(x[1-9][0-9]{0,5})+", text)
    sizes = tuple(map(int, text.split("x"))) if known else ()
    if not known or min(sizes) < 2:
        raise PydanticCustomError("shape", "give at least two sizes above 1, such as 8x8x9")
    return sizes


def ranks(shape: Shape, cap: int) -> Shape:
    """Return r_0 ... r_N: each as high as the sizes on its left and right allow, and at most the cap."""
    inner = (min(math.prod(shape[:place]), math.prod(shape[place:]), cap) for place in range(1, len(shape)))
    return (1, *inner, 1)


def numbers(shape: Shape, cap: int) -> int:
    """Return P, the number of values in a train: the sum of r_(k-1) I_k r_k."""
    own = ranks(shape, cap)
    return sum(before * size * after for before, size, after in zip(own, shape, own[1:], strict=False))


def highest_cap(shape: Shape, most: float) -> int | None:
    """Return the highest cap with at most `most` values, which has the smallest error; None if there is none."""
    caps = range(1, max(ranks(shape, math.prod(shape))) + 1)
    return max((cap for cap in caps if numbers(shape, cap) <= most), default=None)


def candidates(width: int) -> Iterator[Shape]:
    """Yield the shapes of a row: all factorisations of its width and of its padded widths.

    Padded widths are the next multiples of each power of 2, up to the first power that holds the row, because widths
    may have few factors after slicing. The sizes of a shape ascend: large ones are cheapest at an end, where one rank
    is 1.
    """
    for whole in dict.fromkeys(width + -width % 2**power for power in range((width - 1).bit_length() + 1)):
        yield from (shape for shape in _factorisations(whole) if len(shape) > 1)


def _factorisations(number: int, least: int = 2) -> Iterator[Shape]:
    """Yield the ways to write a number as a product of ascending factors."""
    yield (number,)
    for first in range(least, math.isqrt(number) + 1):
        if number % first == 0:
            yield from ((first, *rest) for rest in _factorisations(number // first, first))


def written(shape: Sequence[int]) -> str:
    """Return `8x8x9` for (8, 8, 9)."""
    return "x".join(map(str, shape))


class TensorTrainParameters(EmbeddingParameters):
    shape: str | None = Field(
        title="Shape of a row",
        default=None,
        max_length=100,
        description="Sizes that each row is folded to, such as 8x8x9. Their product is at least the width of the "
        "embedding; zeros pad the row. If not given: the closest on a sample of rows.",
    )
    rank: int | None = Field(
        title="Highest rank",
        default=None,
        ge=1,
        le=4096,
        description="Highest rank between two cores. If not given: the highest that the factor allows.",
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
    summary = "Stores each token's embedding as a chain of small cores of its own; uses no data."
    idea = (
        "A vector folded to a small array is close to a product of slices from a few small cores, found by "
        "singular vectors. Tokens share no cores, so the vocabulary of a device can grow and shrink. The energy "
        "savings of TensorSLM on such a device are not measured here."
    )
    formulas = (
        r"x_{i_1 \cdots i_N} \approx G_1[i_1]\, G_2[i_2] \cdots G_N[i_N]",
        r"P = \sum_{k=1}^{N} r_{k-1}\, I_k\, r_k",
    )
    symbols = {
        "x": "embedding of a token, folded to an array",
        r"k,\ N": "a dimension of the array, and the number of dimensions",
        r"i_k,\ I_k": "an index along a dimension, and its size",
        "G_k[i_k]": "a slice of the token's core k, a matrix",
        r"r_{k-1},\ r_k": "ranks: rows and columns of that matrix; the first and the last are 1",
        "P": "numbers stored per token",
    }
    Parameters = TensorTrainParameters

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        return float(DECOMPOSITION * shape.vocabulary * shape.hidden**1.5)

    def factored(
        self, table: Tensor, factor: float, progress: Callable[[int, int], None]
    ) -> tuple[FactoredEmbedding, str]:
        import torch

        from core.models.modeling_slimscope import TensorTrainEmbedding

        tokens, width = table.shape
        shape, cap = self._choose_shape(table, width / factor)
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

    def _choose_shape(self, table: Tensor, most: float) -> tuple[Shape, int]:
        """Return the shape and the cap, of at most `most` numbers per token, whose trains are closest to the rows.

        Given parameters are fixed; the others are tried on rows spread evenly over the vocabulary.
        """
        shapes, cap = self._shapes(width := table.shape[1]) or list(candidates(width)), self.parameters.rank
        caps = {shape: cap or highest_cap(shape, most) for shape in shapes}
        fitting = {shape: own for shape, own in caps.items() if own and numbers(shape, own) <= most}
        if not fitting:
            least = min(numbers(shape, cap or 1) for shape in shapes)
            free = " or remove shape and rank" if self.parameters.shape or cap else ""
            raise UserError(
                f"{self.label}: the factor allows {most:.4g} numbers per token, but at least {least} are needed. "
                f"Choose a smaller factor{free}."
            )
        sample = table[:: max(1, len(table) // SAMPLE)][:SAMPLE]
        return min(fitting.items(), key=lambda one: _squared_error(sample, *one))

    def _shapes(self, width: int) -> list[Shape] | None:
        """Return the shape in the parameters; None if it is not given."""
        if self.parameters.shape is None:
            return None
        shape = parse_shape(self.parameters.shape)
        if math.prod(shape) < width:
            raise UserError(
                f"{self.label}: the shape {self.parameters.shape} has {math.prod(shape)} entries, fewer than the "
                f"{width} numbers of a row. Give sizes whose product is at least {width}."
            )
        return [shape]


def _squared_error(rows: Tensor, shape: Shape, cap: int) -> float:
    """Return the squared error of rows (n, width) as trains."""
    from core.models.modeling_slimscope import TensorTrainEmbedding

    own = ranks(shape, cap)
    count, width = rows.shape
    found = TensorTrainEmbedding(count, width, shape, own).requires_grad_(False)
    found.cores.data = train_cores(rows, shape, own)
    return float((found.rows(slice(None)) - rows).square().sum())


def train_cores(rows: Tensor, shape: Shape, ranks: Shape) -> Tensor:
    """Return the cores (rows, P) of rows (rows, width), each core as (r_k, I_k, r_(k-1)), in the rows' dtype.

    A row is folded with its first index the fastest, and padded with zeros if the shape is larger. This is TT-SVD,
    algorithm 1 of Oseledets, Tensor-Train Decomposition, 2011 (doi:10.1137/090752286), with the left singular vectors
    computed as eigenvectors of the small Gram matrix. For tens of thousands of small matrices, that is several times
    faster. The vectors are orthonormal, however exact they are. Where no rank is cut, none are needed, so a train of
    full ranks gives its row back.
    """
    import torch
    from torch.nn.functional import pad

    count = len(rows)
    carry = pad(rows, (0, math.prod(shape) - rows.shape[1]))[:, None]  # (rows, r_(k-1), I_k ... I_N)
    cores = []
    for size, before, after in zip(shape[:-1], ranks, ranks[1:], strict=False):
        matrix = carry.view(count, before, -1, size).transpose(2, 3).reshape(count, before * size, -1)
        left, carry = _split(matrix, after)
        cores.append(left.view(count, before, size, after).permute(0, 3, 2, 1).flatten(1))
    cores.append(carry.transpose(1, 2).flatten(1))
    return torch.cat(cores, 1)


def _split(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Factor each matrix (n, rows, columns) into the closest product of this rank.

    Returns:
        The left factors (n, rows, rank), whose columns are orthonormal, and the right ones (n, rank, columns).
    """
    import torch

    count, rows, columns = matrix.shape
    if rank == rows:
        return torch.eye(rows).to(matrix).expand(count, -1, -1).contiguous(), matrix
    basis = None
    if columns < rows:
        basis, matrix = torch.linalg.qr(matrix)
        if rank == columns:
            return basis, matrix
    left = torch.linalg.eigh(matrix @ matrix.mT).eigenvectors[..., -rank:]
    return (left if basis is None else basis @ left), left.mT @ matrix
