"""Low-rank embedding: the whole table as the product of two thin matrices, a baseline for tensor trains."""

from collections.abc import Callable

from core.base.errors import UserError
from core.methods.annotations import FactoredEmbedding, ModelShape, Tensor, TextWindows
from core.methods.embedding.base import EmbeddingMethod
from core.methods.terms import Citation

CHUNK = 4096  # rows that are summed at once in fp64


class EmbeddingLowRank(EmbeddingMethod):
    name = "embedding-lowrank"
    label = "Low-rank embedding"
    short_label = "Low-rank emb"
    citation = Citation(
        title="The approximation of one matrix by another of lower rank",
        authors="Eckart & Young",
        year=1936,
        url="https://doi.org/10.1007/BF02288367",
    )
    summary = "Stores the embedding table as the product of two thin matrices; uses no data."
    idea = (
        "The vectors of all tokens are close to a space of fewer dimensions, and singular vectors find the "
        "closest one. Each token stores its coordinates in that space. All tokens share the matrix that maps them "
        "back."
    )
    formulas = (
        r"E \approx A B, \qquad A = E\, V_k, \quad B = V_k^\top",
        r"k = \left\lfloor \frac{n m}{f\,(n + m)} \right\rfloor",
    )
    symbols = {
        "E": "embedding table, one row per token",
        r"A,\ B": "the two thin matrices",
        "k": "rank: the columns of A and the rows of B",
        "V_k": "the first k right singular vectors of the table",
        r"n,\ m": "number of tokens, and width of the table",
        "f": "requested compression factor",
    }

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Count a Gram matrix of the table, its eigenvectors, and the product with them."""
        return 4.0 * shape.vocabulary * shape.hidden**2 + 20 * shape.hidden**3

    def factored(
        self, table: Tensor, factor: float, progress: Callable[[int, int], None]
    ) -> tuple[FactoredEmbedding, str]:
        import torch

        from core.models.modeling_slimscope import LowRankEmbedding

        tokens, width = table.shape
        rank = int(tokens * width / factor / (tokens + width))
        if not rank:
            raise UserError(f"{self.label}: a factor of {factor:g} leaves no rank; choose a smaller factor.")
        with torch.device("meta"):
            found = LowRankEmbedding(tokens, width, rank)
        gram = table.new_zeros(width, width, dtype=torch.float64)
        progress(0, tokens)
        for part in found.parts(CHUNK):
            rows = table[part].double()
            gram += rows.T @ rows
            progress(part.stop, tokens)
        right = torch.linalg.eigh(gram).eigenvectors[:, -rank:].T.float().contiguous()  # (rank, width)
        found.left, found.right = torch.nn.Parameter(table @ right.T), torch.nn.Parameter(right)
        return found, f"rank {rank}, {rank} numbers a token and {rank} x {width} for all"
