"""Plain SVD: every matrix becomes the product of its first singular vectors, whatever its inputs are."""

from core.methods.annotations import Tensor
from core.methods.linear import Statistics
from core.methods.lowrank.base import LowRank
from core.methods.terms import Citation


class SVD(LowRank):
    name = "svd"
    label = "SVD"
    citation = Citation(
        title="The approximation of one matrix by another of lower rank",
        authors="Eckart & Young",
        year=1936,
        url="https://doi.org/10.1007/BF02288367",
    )
    summary = "Replaces each matrix by two thin ones, closest to its weights; uses no data."
    idea = (
        "Of all matrices of a given rank, the truncated singular value decomposition is closest to the weights. "
        "It replaces each matrix by the product of two thin ones and ignores the inputs."
    )
    formulas = (
        r"W' = [\,W\,]_k = U_k\, \Sigma_k\, V_k^\top",
        r"k \approx (1 - p)\, \frac{m n}{m + n}",
    )
    symbols = {
        r"[\,\cdot\,]_k": "closest matrix of rank k",
        r"U_k,\ \Sigma_k,\ V_k": "the first k singular vectors and values",
        r"m,\ n": "rows and columns of the matrix",
    }
    spectra = "spectra of the weights"

    def scale(self, statistics: Statistics) -> tuple[Tensor | None, str | None]:
        return None, None
